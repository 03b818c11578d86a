# Device code: each source is compiled once for each GPU architecture and embedded as data in a library that its host compiler builds. No GPU library
# is linked and no GPU header of a vendor's is read for AMD; without a vendor's compiler the library holds nothing for that vendor and says so when asked.
#
#   rocforge_device_code(TARGET NAMESPACE name SOURCES a.hip ... [SOURCES_<family> b.hip ...] [OPTIONS_<family> option ...])
#
# adds to the library TARGET the definition of  std::span<const CodeObject> rocforge::kernels::<name>::code_objects().  Families: gfx9, gfx11, gfx12,
# sm80, sm90; SOURCES are compiled for all of them. The code objects also lie in <build>/kernels/device/, as a.gfx942.co and a.sm_90a.cubin, for tests
# to read; the global properties ROCFORGE_AMD_CODE_OBJECTS and ROCFORGE_NVIDIA_CODE_OBJECTS list them, and the target device-code builds them all.
#
# Flags do not depend on the build type or on sanitizers, so that every build tree shares one compiler cache entry.

set(ROCFORGE_AMD_ARCHS gfx90a gfx942 gfx1100 gfx1201)
set(ROCFORGE_NVIDIA_ARCHS sm_80 sm_90a)
set(ROCFORGE_DEVICE_CODE_DIR ${PROJECT_BINARY_DIR}/kernels/device)
file(MAKE_DIRECTORY ${ROCFORGE_DEVICE_CODE_DIR})

foreach(vendor AMD NVIDIA)
    set(ROCFORGE_${vendor}_DEVICE_CODE AUTO CACHE STRING "Compile device code for ${vendor} GPUs: AUTO where a compiler is found, ON, OFF")
    set_property(CACHE ROCFORGE_${vendor}_DEVICE_CODE PROPERTY STRINGS AUTO ON OFF)
    set_property(GLOBAL PROPERTY ROCFORGE_${vendor}_CODE_OBJECTS "")
endforeach()

# clang with the AMD target and its linker: a ROCm installation's or the distribution's.
function(rocforge_amd_command out compiler arch)
    set(${out} ${compiler} -x hip -std=c++20 -O3 --offload-arch=${arch} --offload-device-only --no-gpu-bundle-output -nogpulib -nogpuinc PARENT_SCOPE)
endfunction()

function(rocforge_nvidia_command out compiler arch)
    string(REPLACE sm_ compute_ virtual ${arch})
    # 177: what only device code uses looks unused to the pass over host code.
    set(${out} ${compiler} -std=c++20 -O3 --expt-relaxed-constexpr -diag-suppress 177 -cubin -gencode arch=${virtual},code=${arch} -x cu PARENT_SCOPE)
endfunction()

# Sets ROCFORGE_<vendor>_FOUND_ARCHS to those that the vendor's compiler can build, and says so. Asked once for each compiler of a build tree.
function(rocforge_find_device_compiler vendor compiler)
    set(wanted ${ROCFORGE_${vendor}_DEVICE_CODE})
    set(found "")
    if(compiler AND NOT wanted STREQUAL "OFF")
        if(NOT "${ROCFORGE_${vendor}_PROBED}" STREQUAL "${compiler}")
            set(probe ${ROCFORGE_DEVICE_CODE_DIR}/probe.hip)
            file(WRITE ${probe} "template <class T> concept Any = true;\n__attribute__((global)) void probe(int*) {}\n")
            foreach(arch ${ROCFORGE_${vendor}_ARCHS})
                string(TOLOWER ${vendor} lower)
                cmake_language(CALL rocforge_${lower}_command command ${compiler} ${arch})
                execute_process(COMMAND ${command} -c ${probe} -o ${probe}.out RESULT_VARIABLE failed OUTPUT_QUIET ERROR_VARIABLE said)
                if(failed)
                    message(STATUS "${compiler} does not compile for ${arch}: ${said}")
                else()
                    list(APPEND found ${arch})
                endif()
            endforeach()
            set(ROCFORGE_${vendor}_PROBED ${compiler} CACHE INTERNAL "the compiler that ROCFORGE_${vendor}_FOUND_ARCHS are of")
            set(ROCFORGE_${vendor}_ARCHS_BUILT ${found} CACHE INTERNAL "what it compiles for")
        endif()
        set(found ${ROCFORGE_${vendor}_ARCHS_BUILT})
    endif()
    if(wanted STREQUAL "ON" AND NOT found)
        message(FATAL_ERROR "ROCFORGE_${vendor}_DEVICE_CODE is ON, but no compiler for ${ROCFORGE_${vendor}_ARCHS} was found "
            "(ROCFORGE_${vendor}_COMPILER: ${compiler})")
    endif()
    if(found)
        message(STATUS "${vendor} device code: ${found} by ${compiler}")
    elseif(wanted STREQUAL "OFF")
        message(STATUS "${vendor} device code: none, ROCFORGE_${vendor}_DEVICE_CODE is OFF")
    else()
        message(STATUS "${vendor} device code: none, no compiler was found")
    endif()
    set(ROCFORGE_${vendor}_FOUND_ARCHS "${found}" PARENT_SCOPE)
endfunction()

find_program(ROCFORGE_AMD_COMPILER NAMES clang++-19 clang++-20 clang++-21 clang++-18 clang++-17 amdclang++
    PATHS $ENV{ROCM_PATH}/llvm/bin /opt/rocm/llvm/bin DOC "clang that compiles for AMD GPUs")
find_program(ROCFORGE_NVIDIA_COMPILER NAMES nvcc PATHS $ENV{CUDA_PATH}/bin /usr/local/cuda/bin DOC "NVIDIA's compiler, 12.0 or later")
get_filename_component(toolkit "${ROCFORGE_NVIDIA_COMPILER}" DIRECTORY)
find_program(ROCFORGE_NVIDIA_PACKER NAMES fatbinary HINTS ${toolkit} DOC "what compresses NVIDIA code objects: part of its compiler's toolkit")
if(NOT ROCFORGE_NVIDIA_PACKER)
    set(ROCFORGE_NVIDIA_COMPILER "")
endif()
rocforge_find_device_compiler(AMD "${ROCFORGE_AMD_COMPILER}")
rocforge_find_device_compiler(NVIDIA "${ROCFORGE_NVIDIA_COMPILER}")

add_custom_target(device-code)

function(rocforge_family_of out arch)
    if(arch MATCHES "^gfx9")
        set(family gfx9)
    elseif(arch MATCHES "^(gfx1[12])")
        set(family ${CMAKE_MATCH_1})
    elseif(arch MATCHES "^sm_([0-9]+)")
        set(family sm${CMAKE_MATCH_1})
    endif()
    set(${out} ${family} PARENT_SCOPE)
endfunction()

# Compiles `source` for `arch` to `object`.
function(rocforge_compile_device_code vendor arch source object options)
    if(vendor STREQUAL "AMD")
        rocforge_amd_command(command ${ROCFORGE_AMD_COMPILER} ${arch})
        # pass-failed: fewer waves a SIMD than asked for is a matter of registers, which tests/code_objects limit kernel by kernel.
        set(warnings -Wall -Wextra -Wno-pass-failed $<$<BOOL:${ROCFORGE_WERROR}>:-Werror>)
    else()
        rocforge_nvidia_command(command ${ROCFORGE_NVIDIA_COMPILER} ${arch})
        set(guard "")
        if(arch STREQUAL "sm_90a")
            set(guard ${CMAKE_COMMAND} -P ${PROJECT_SOURCE_DIR}/kernels/cmake/refuse_serialised.cmake --)
        endif()
        set(warnings $<$<BOOL:${ROCFORGE_WERROR}>:-Werror=all-warnings>)
    endif()
    get_filename_component(name ${object} NAME)
    add_custom_command(OUTPUT ${object}
        COMMAND ${guard} ${CMAKE_CXX_COMPILER_LAUNCHER} ${command} ${warnings} ${options} -I${PROJECT_SOURCE_DIR}
                -MD -MF ${object}.d -MT ${object} -c ${source} -o ${object}
        DEPENDS ${source} DEPFILE ${object}.d COMMENT "Compiling device code ${name}" VERBATIM COMMAND_EXPAND_LISTS)
endfunction()

# Sets `out` to the file to embed for `object`: NVIDIA's driver takes compressed code, a fifth of the size; AMD's runtime takes the object as it is.
function(rocforge_pack_device_code out vendor arch object)
    set(${out} ${object} PARENT_SCOPE)
    if(vendor STREQUAL "NVIDIA")
        string(REPLACE .cubin .fatbin packed ${object})
        string(REPLACE sm_ "" number ${arch})
        add_custom_command(OUTPUT ${packed}
            COMMAND ${ROCFORGE_NVIDIA_PACKER} -64 --create=${packed} --compress-all --image3=kind=elf,sm=${number},file=${object}
            DEPENDS ${object} VERBATIM)
        set(${out} ${packed} PARENT_SCOPE)
    endif()
endfunction()

function(rocforge_device_code target)
    set(families gfx9 gfx11 gfx12 sm80 sm90)
    list(TRANSFORM families PREPEND OPTIONS_ OUTPUT_VARIABLE family_options)
    list(TRANSFORM families PREPEND SOURCES_ OUTPUT_VARIABLE family_sources)
    cmake_parse_arguments(arg "" NAMESPACE "SOURCES;${family_sources};${family_options}" ${ARGN})
    if(arg_UNPARSED_ARGUMENTS OR NOT arg_NAMESPACE OR NOT arg_SOURCES)
        message(FATAL_ERROR "rocforge_device_code(target NAMESPACE name SOURCES file.hip ... [SOURCES_<family> ...] [OPTIONS_<family> ...]): "
            "got '${ARGN}'")
    endif()
    set(objects "")
    set(data "")
    set(declarations "")
    set(rows "")
    foreach(vendor AMD NVIDIA)
        set(suffix co)
        if(vendor STREQUAL "NVIDIA")
            set(suffix cubin)
        endif()
        foreach(arch ${ROCFORGE_${vendor}_FOUND_ARCHS})
            rocforge_family_of(family ${arch})
            foreach(source ${arg_SOURCES} ${arg_SOURCES_${family}})
                get_filename_component(path ${source} ABSOLUTE)
                get_filename_component(stem ${source} NAME_WE)
                set(object ${ROCFORGE_DEVICE_CODE_DIR}/${stem}.${arch}.${suffix})
                rocforge_compile_device_code(${vendor} ${arch} ${path} ${object} "${arg_OPTIONS_${family}}")
                rocforge_pack_device_code(embedded ${vendor} ${arch} ${object})
                set(symbol rocforge_device_code_${stem}_${arch})
                string(APPEND data "    .balign 4096\n    .globl ${symbol}, ${symbol}_end\n    .hidden ${symbol}, ${symbol}_end\n"
                    "${symbol}:\n    .incbin \"${embedded}\"\n${symbol}_end:\n    .byte 0\n")
                string(APPEND declarations "extern const unsigned char ${symbol}[], ${symbol}_end[];\n")
                string(APPEND rows "    {\"${arch}\", ${symbol}, ${symbol}_end},\n")
                list(APPEND objects ${embedded})
                set_property(GLOBAL APPEND PROPERTY ROCFORGE_${vendor}_CODE_OBJECTS ${object})
            endforeach()
        endforeach()
    endforeach()
    if(objects)
        string(CONCAT table "asm(R\"(\n    .pushsection .rodata.rocforge_device_code, \"a\"\n${data}    .popsection\n)\");\n"
            "extern \"C\" {\n${declarations}}\n\n"
            "namespace rocforge::kernels::${arg_NAMESPACE} {\n"
            "static constexpr CodeObject kCodeObjects[] = {\n${rows}};\n"
            "std::span<const CodeObject> code_objects();\n"
            "std::span<const CodeObject> code_objects() { return kCodeObjects; }\n")
    else()
        string(CONCAT table "namespace rocforge::kernels::${arg_NAMESPACE} {\n"
            "std::span<const CodeObject> code_objects();\n"
            "std::span<const CodeObject> code_objects() { return {}; }\n")
    endif()
    set(generated ${CMAKE_CURRENT_BINARY_DIR}/${arg_NAMESPACE}_code_objects.cpp)
    file(CONFIGURE OUTPUT ${generated} @ONLY CONTENT
"// Made by rocforge_device_code(): the code objects of kernels/${arg_NAMESPACE} as data.
#include <span>

#include \"kernels/common/launch.h\"

${table}}  // namespace rocforge::kernels::${arg_NAMESPACE}
")
    set_source_files_properties(${generated} PROPERTIES OBJECT_DEPENDS "${objects}")
    target_sources(${target} PRIVATE ${generated})
    target_link_libraries(${target} PRIVATE rocforge_kernels)
    add_custom_target(${target}_device_code DEPENDS ${objects})
    add_dependencies(${target} ${target}_device_code)
    add_dependencies(device-code ${target}_device_code)
endfunction()
