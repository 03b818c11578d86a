# Debian packages: `cpack -B OUT --config BUILD/CPackConfig.cmake` writes rocforge, rocforge-sdk and one rocforge-plugin-NAME for each plugin that was
# built. What they need of the system is read off the binaries (dpkg-shlibdeps); signing and upload are left to whoever publishes them.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME rocforge)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "The rocforge authors <rocforge@localhost>")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL rocforge sdk ${ROCFORGE_PLUGIN_COMPONENTS})
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)

# rocforge_package(COMPONENT NAME TEXT): one package and its licence.
function(rocforge_package component name text)
    string(TOUPPER ${component} upper)
    string(REPLACE _ - name ${name})  # a package's name has no underscore
    set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${name} PARENT_SCOPE)
    set(CPACK_COMPONENT_${upper}_DESCRIPTION "${text}" PARENT_SCOPE)
    install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${name} RENAME copyright COMPONENT ${component})
endfunction()

rocforge_package(rocforge rocforge
    "The program rocforge, the library for inference engines with its headers, the manual page and the shells' completions.")
rocforge_package(sdk rocforge-sdk
    "What a backend is built with: the C header of the contract, C++20 sugar over it, rocforge_add_plugin() for CMake and the templates of 'rocforge new'.")
foreach(component ${ROCFORGE_PLUGIN_COMPONENTS})
    string(REPLACE plugin- "" backend ${component})
    rocforge_package(${component} rocforge-${component} "The backend ${backend}: one plugin file, which rocforge finds by itself.")
    string(TOUPPER ${component} upper)
    set(CPACK_DEBIAN_${upper}_PACKAGE_DEPENDS "rocforge (>= ${PROJECT_VERSION})")
endforeach()
# The library's header includes the contract's, and `rocforge new` reads the templates.
set(CPACK_DEBIAN_ROCFORGE_PACKAGE_DEPENDS "rocforge-sdk (= ${PROJECT_VERSION})")
set(CPACK_DEBIAN_ROCFORGE_PACKAGE_RECOMMENDS "rocforge-plugin-cpu")
set(CPACK_DEBIAN_ROCFORGE_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_SDK_PACKAGE_SUGGESTS "rocforge, cmake")
set(CPACK_DEBIAN_SDK_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_SDK_PACKAGE_SHLIBDEPS OFF)
# So that hosts packaged by others find out what they depend on.
set(CPACK_DEBIAN_ROCFORGE_PACKAGE_GENERATE_SHLIBS ON)
include(CPack)
