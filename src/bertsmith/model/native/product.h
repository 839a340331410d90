/* Products of few or many rows with a weight that was laid out for them once.

A weight lies in panels of two vectors of outputs: all inputs of the first panel, then of the next. Some rows by a panel
are summed in registers at a time, so that each value read serves many multiplications. A weight in float16 is half as
long to read and is widened on the way.

Letters: n rows, I inputs, O outputs. */

#pragma once

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "functions.h"

/* Floats of a vector, and rows whose sums, with what is read for them, fill the registers: AVX2 has 16, AVX512 32. */
#ifndef LANES
#ifdef __AVX512F__
#define LANES 16
#else
#define LANES 8
#endif
#endif
#if LANES == 16
#define ROWS 12
#else
#define ROWS 6
#endif
#define PANEL (2 * LANES)
/* Bytes from what is multiplied to what is fetched: a page, at whose end the processor's own fetching stops. */
#define AHEAD 4096
/* Of rows that are gone through for all panels before the next ones: they stay in the second-level cache. */
#define CACHED_BYTES (192 << 10)

typedef float Vector __attribute__((vector_size(LANES * sizeof(float))));

typedef struct {
    const void *panels; /* ceil(O / PANEL) of (I, PANEL), float32 or float16; after the last output zeros */
    const float *bias;  /* (O,), and zeros up to the end of the panel */
    int64_t inputs, outputs, half;
} Product;

static inline __attribute__((always_inline)) Vector vector_at(const void *panel, int64_t at, const int half) {
    Vector values;
    if (!half) {
        memcpy(&values, (const float *)panel + at, sizeof values);
        return values;
    }
    const uint16_t *from = (const uint16_t *)panel + at;
#if LANES == 16 && defined __AVX512F__
    const __m512 wide = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)from));
    memcpy(&values, &wide, sizeof values);
#else
    for (int lane = 0; lane < LANES; lane += 8) {
        const __m256 eight = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(from + lane)));
        memcpy((float *)&values + lane, &eight, sizeof eight);
    }
#endif
    return values;
}

/* (rows, I) by (I, PANEL) -> (ROWS, PANEL), of which so many rows are written. */
#define EVERY_ROW _Pragma("GCC unroll 12") for (int r = 0; r < rows; r++)
static inline __attribute__((always_inline)) void multiply(const int rows, const int half, const float *restrict from,
                                                           int64_t stride, int64_t inputs, const void *restrict panel,
                                                           float *restrict tile) {
    Vector sums[ROWS][2];
    EVERY_ROW sums[r][0] = sums[r][1] = (Vector){0};
    for (int64_t i = 0; i < inputs; i++) {
        const char *ahead = (const char *)panel + i * PANEL * (half ? 2 : 4) + AHEAD;
        __builtin_prefetch(ahead);
        if (PANEL * (half ? 2 : 4) > 64) __builtin_prefetch(ahead + 64);
        const Vector left = vector_at(panel, i * PANEL, half), right = vector_at(panel, i * PANEL + LANES, half);
        EVERY_ROW {
            const float value = from[r * stride + i];
            sums[r][0] += value * left;
            sums[r][1] += value * right;
        }
    }
    EVERY_ROW memcpy(tile + r * PANEL, sums[r], sizeof sums[r]);
}

/* One function for each number of rows, by itself: inlined, the compiler keeps sums in memory. */
typedef void (*Multiply)(const float *, int64_t, int64_t, const void *, float *);
#define OF_ROWS(rows, half)                                                                                          \
    static __attribute__((noinline)) void multiply_##rows##_##half(const float *from, int64_t stride,                \
                                                                   int64_t inputs, const void *panel, float *tile) { \
        multiply(rows, half, from, stride, inputs, panel, tile);                                                     \
    }
#define OF_BOTH(rows) OF_ROWS(rows, 0) OF_ROWS(rows, 1)
OF_BOTH(1) OF_BOTH(2) OF_BOTH(3) OF_BOTH(4) OF_BOTH(5) OF_BOTH(6)
#define UP_TO_SIX(half) \
    0, multiply_1_##half, multiply_2_##half, multiply_3_##half, multiply_4_##half, multiply_5_##half, multiply_6_##half
#if ROWS == 6
static const Multiply MULTIPLY[2][ROWS + 1] = {{UP_TO_SIX(0)}, {UP_TO_SIX(1)}};
#else
OF_BOTH(7) OF_BOTH(8) OF_BOTH(9) OF_BOTH(10) OF_BOTH(11) OF_BOTH(12)
#define UP_TO_TWELVE(half)                                                                                        \
    UP_TO_SIX(half), multiply_7_##half, multiply_8_##half, multiply_9_##half, multiply_10_##half, multiply_11_##half, \
        multiply_12_##half
static const Multiply MULTIPLY[2][ROWS + 1] = {{UP_TO_TWELVE(0)}, {UP_TO_TWELVE(1)}};
#endif

/* n rows in parts of even size: where part `index` begins. */
static inline int64_t part(int64_t n, int64_t parts, int64_t index) { return n * index / parts; }

/* Rows that are gone through together. */
static inline int64_t rows_together(const Product *product) {
    const int64_t rows = CACHED_BYTES / (int64_t)sizeof(float) / product->inputs / ROWS * ROWS;
    return rows > ROWS ? rows : ROWS;
}

static inline int64_t panels_of(int64_t outputs) { return parts_of(outputs, PANEL); }

/* How many tasks (n, I) -> (n, O) is: each is a panel for rows that go together. */
static inline int64_t product_tasks(const Product *product, int64_t n) {
    return parts_of(n, rows_together(product)) * panels_of(product->outputs);
}

/* Task `task` of a product: (n, I) -> (n, O), plus the bias, plus a residual (n, O) or NULL, through an activation. */
static void product_task(const Product *product, int64_t task, int64_t n, const float *from, const float *residual,
                         int activation, float *to) {
    const int64_t inputs = product->inputs, width = product->outputs;
    const int64_t panels = panels_of(width), panel = task % panels;
    const int64_t chunks = parts_of(n, rows_together(product)), chunk = task / panels, column = panel * PANEL;
    const int64_t begin = part(n, chunks, chunk), rows = part(n, chunks, chunk + 1) - begin;
    const int64_t left = width - column, columns = left < PANEL ? left : PANEL;
    const char *values = (const char *)product->panels + panel * inputs * PANEL * (product->half ? 2 : 4);
    const int64_t blocks = parts_of(rows, ROWS);
    for (int64_t block = 0; block < blocks; block++) {
        const int64_t first = begin + part(rows, blocks, block), end = begin + part(rows, blocks, block + 1);
        float tile[ROWS * PANEL];
        MULTIPLY[product->half][end - first](from + first * inputs, inputs, inputs, values, tile);
        for (int64_t row = first; row < end; row++) {
            float *made = tile + (row - first) * PANEL;
            for (int c = 0; c < PANEL; c++) made[c] += product->bias[column + c];
            if (residual)
                for (int64_t c = 0; c < columns; c++) made[c] += residual[row * width + column + c];
            activate(made, PANEL, activation);
            memcpy(to + row * width + column, made, columns * sizeof(float));
        }
    }
}
