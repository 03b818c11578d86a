// The rocforge program: a client of the public host API alone. Parses the command line, runs one command, turns a failure into one message and
// the exit status that status.hpp lists.
#pragma once

namespace rocforge::cli {

int run_program(int argc, char** argv);

}  // namespace rocforge::cli
