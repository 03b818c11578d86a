// The program rocforge as a process of its own: started, waited for, read. Judges nothing.
#ifndef ROCFORGE_TESTS_CONFORMANCE_PROGRAM_H
#define ROCFORGE_TESTS_CONFORMANCE_PROGRAM_H

#include <string>
#include <vector>

struct Ended {
    int status = -1;   // exit status; minus the number of the signal that ended it
    std::string text;  // what it printed, both streams
};

// Its output goes through the file `log`.
Ended run_program(const std::vector<std::string>& arguments, const std::string& log);

#endif
