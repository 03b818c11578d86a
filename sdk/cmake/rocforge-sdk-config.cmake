# find_package(rocforge-sdk): the target rocforge::sdk (headers alone) and rocforge_add_plugin(). Versions are the binary contract's: 1.0 is
# RF_ABI_MAJOR 1. Needs neither the library nor anything that it is built with.
include(${CMAKE_CURRENT_LIST_DIR}/rocforge-sdk-targets.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/RocforgePlugin.cmake)
