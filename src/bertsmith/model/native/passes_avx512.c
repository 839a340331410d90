/* The same, compiled once more for processors with AVX512 that round to bfloat16 themselves. */
#include "passes.c"
