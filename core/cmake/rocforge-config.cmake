# find_package(rocforge): the target rocforge::rocforge, for programs that run attention. Versions are the binary contract's: 1.0 is RF_ABI_MAJOR 1.
include(CMakeFindDependencyMacro)
find_dependency(rocforge-sdk HINTS ${CMAKE_CURRENT_LIST_DIR}/../rocforge-sdk)
include(${CMAKE_CURRENT_LIST_DIR}/rocforge-targets.cmake)
