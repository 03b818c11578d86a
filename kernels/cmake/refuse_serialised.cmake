# Runs a compiler and fails where it says that it serialised asynchronous matrix products (ptxas, C7500 to C7599): a note to ptxas, half of the speed
# to a kernel.
#
#   cmake -P refuse_serialised.cmake -- compiler argument ...
set(command "")
set(seen FALSE)
foreach(number RANGE ${CMAKE_ARGC})
    if(seen AND number LESS CMAKE_ARGC)
        list(APPEND command "${CMAKE_ARGV${number}}")
    elseif("${CMAKE_ARGV${number}}" STREQUAL "--")
        set(seen TRUE)
    endif()
endforeach()
execute_process(COMMAND ${command} RESULT_VARIABLE failed OUTPUT_VARIABLE said ERROR_VARIABLE said)
if(said)
    message("${said}")
endif()
if(failed OR said MATCHES "\\(C75[0-9][0-9]\\)")
    message(FATAL_ERROR "the compiler failed, or serialised asynchronous matrix products")
endif()
