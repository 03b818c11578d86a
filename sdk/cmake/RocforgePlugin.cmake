# rocforge_add_plugin(NAME SOURCES file... [LIBRARIES target...] [OUTPUT_DIRECTORY dir])
#
# Makes the target rocforge-NAME, a plugin rocforge-NAME.so that exports rocforge_plugin_v1 alone: hidden visibility, the export map, no
# undefined symbols, dependencies linked privately. Needs the target rocforge::sdk.
function(rocforge_add_plugin name)
    cmake_parse_arguments(arg "" "OUTPUT_DIRECTORY" "SOURCES;LIBRARIES" ${ARGN})
    if(arg_UNPARSED_ARGUMENTS OR NOT arg_SOURCES)
        message(FATAL_ERROR "rocforge_add_plugin(${name} SOURCES file... [LIBRARIES target...] [OUTPUT_DIRECTORY dir]): got '${ARGN}'")
    endif()
    if(NOT name MATCHES "^[a-z][a-z0-9_]*$")
        message(FATAL_ERROR "rocforge_add_plugin: the name '${name}' is not [a-z][a-z0-9_]*")
    endif()
    set(target rocforge-${name})
    set(map ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/plugin.map)
    add_library(${target} MODULE ${arg_SOURCES})
    target_link_libraries(${target} PRIVATE rocforge::sdk ${arg_LIBRARIES})
    target_link_options(${target} PRIVATE -Wl,--version-script=${map} -Wl,--exclude-libs,ALL)
    if(NOT ROCFORGE_SANITIZE)  # the sanitizers' runtimes are resolved from the host program
        target_link_options(${target} PRIVATE -Wl,-z,defs)
    endif()
    set_target_properties(${target} PROPERTIES
        PREFIX "" OUTPUT_NAME rocforge-${name} SUFFIX .so
        C_VISIBILITY_PRESET hidden CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
        LINK_DEPENDS ${map})
    if(arg_OUTPUT_DIRECTORY)
        set_target_properties(${target} PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${arg_OUTPUT_DIRECTORY})
    endif()
endfunction()
