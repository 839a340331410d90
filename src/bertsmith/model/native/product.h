/* Products of few or many rows with a weight that was laid out for them once.

A weight lies in panels of 16 outputs: all inputs of the first 16, then of the next. Six rows by 16 outputs are summed
in registers at a time, so that each value read serves six or 16 multiplications. A weight in float16 is half as long to
read and is widened on the way.

Letters: n rows, I inputs, O outputs. */

#pragma once

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "functions.h"

#define PANEL 16
#define ROWS 6
/* Bytes from what is multiplied to what is fetched: a page, at whose end the processor's own fetching stops. */
#define AHEAD 4096
/* Of rows that are gone through for all panels before the next ones: they stay in the second-level cache. */
#define CACHED_BYTES (192 << 10)

typedef struct {
    const void *panels; /* ceil(O / 16) of (I, 16), float32 or float16; after the last output zeros */
    const float *bias;  /* (O,), and zeros up to the end of the panel */
    int64_t inputs, outputs, half;
} Product;

static inline __m256 eight(const void *panel, int64_t at, const int half) {
    if (half) return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)((const uint16_t *)panel + at)));
    return _mm256_loadu_ps((const float *)panel + at);
}

/* (rows, I) by (I, 16) -> (ROWS, 16), of which so many rows are written. */
#define EVERY_ROW _Pragma("GCC unroll 6") for (int r = 0; r < rows; r++)
static inline __attribute__((always_inline)) void multiply(const int rows, const int half, const float *restrict from,
                                                           int64_t stride, int64_t inputs, const void *restrict panel,
                                                           float *restrict tile) {
    __m256 sums[ROWS][2];
    EVERY_ROW sums[r][0] = sums[r][1] = _mm256_setzero_ps();
    for (int64_t i = 0; i < inputs; i++) {
        __builtin_prefetch((const char *)panel + i * PANEL * (half ? 2 : 4) + AHEAD);
        const __m256 left = eight(panel, i * PANEL, half), right = eight(panel, i * PANEL + 8, half);
        EVERY_ROW {
            const __m256 value = _mm256_broadcast_ss(from + r * stride + i);
            sums[r][0] = _mm256_fmadd_ps(value, left, sums[r][0]);
            sums[r][1] = _mm256_fmadd_ps(value, right, sums[r][1]);
        }
    }
    EVERY_ROW {
        _mm256_storeu_ps(tile + r * PANEL, sums[r][0]);
        _mm256_storeu_ps(tile + r * PANEL + 8, sums[r][1]);
    }
}

/* One function for each number of rows, by itself: inlined, the compiler keeps sums in memory. */
typedef void (*Multiply)(const float *, int64_t, int64_t, const void *, float *);
#define OF_ROWS(rows, half)                                                                                          \
    static __attribute__((noinline)) void multiply_##rows##_##half(const float *from, int64_t stride,                \
                                                                   int64_t inputs, const void *panel, float *tile) { \
        multiply(rows, half, from, stride, inputs, panel, tile);                                                     \
    }
OF_ROWS(1, 0) OF_ROWS(2, 0) OF_ROWS(3, 0) OF_ROWS(4, 0) OF_ROWS(5, 0) OF_ROWS(6, 0)
OF_ROWS(1, 1) OF_ROWS(2, 1) OF_ROWS(3, 1) OF_ROWS(4, 1) OF_ROWS(5, 1) OF_ROWS(6, 1)
static const Multiply MULTIPLY[2][ROWS + 1] = {
    {0, multiply_1_0, multiply_2_0, multiply_3_0, multiply_4_0, multiply_5_0, multiply_6_0},
    {0, multiply_1_1, multiply_2_1, multiply_3_1, multiply_4_1, multiply_5_1, multiply_6_1},
};

/* n rows in as many parts as are needed, of even size: where part `index` begins. */
static inline int64_t part(int64_t n, int64_t parts, int64_t index) { return n * index / parts; }
static inline int64_t parts_of(int64_t n, int64_t most) { return (n + most - 1) / most; }

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
