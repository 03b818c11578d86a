#include "program.hpp"

int main(int argc, char** argv) { return rocforge::cli::run_program(argc, argv); }
