// The entry of test programs that set up nothing: runs what the command line asks of doctest.
#include <doctest/doctest.h>

int main(int argc, char** argv) { return doctest::Context(argc, argv).run(); }
