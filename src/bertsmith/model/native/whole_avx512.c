/* The same, compiled once more for processors with AVX512: vectors twice as long, and twice as many registers. */
#include "whole.c"
