/* Products of few or many rows with a weight that was laid out for them once.

A weight lies in panels of two vectors of outputs: all inputs of the first panel, then of the next. Some rows by a panel
are summed in registers at a time, so that each value read serves many multiplications.

A weight may be whole numbers of 16 bits, its rows are rounded to such then: half as long to read, and the processor
multiplies twice as many at once. Each group of inputs has a scale, of a row as of an output, so that the largest of a
group keeps twelve bits and the others what is left beside it.

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
/* Of rows, or of panels, that all others are gone through for: they stay in the second-level cache. */
#define CACHED_BYTES (192 << 10)

/* Inputs that share a scale, and the largest whole number: the products of two groups add up to less than 2^31. */
#define GROUP 256
#define LARGEST 2895
_Static_assert(GROUP % 2 == 0 && (int64_t)GROUP * LARGEST * LARGEST <= INT32_MAX, "sums of a group overflow");

typedef float Vector __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t Sums __attribute__((vector_size(LANES * sizeof(int32_t))));

static inline int64_t panels_of(int64_t outputs) { return parts_of(outputs, PANEL); }

static inline int64_t groups_of(int64_t inputs) { return parts_of(inputs, GROUP); }

static inline int64_t pairs_of(int64_t inputs) { return parts_of(inputs, 2); }

#define EVERY_ROW _Pragma("GCC unroll 12") for (int r = 0; r < rows; r++)

/* (rows, I) by (I, PANEL) -> (ROWS, PANEL), of which so many rows are written. */
static inline __attribute__((always_inline)) void multiply(const int rows, const float *restrict from, int64_t stride,
                                                           int64_t inputs, const float *restrict panel,
                                                           float *restrict tile) {
    Vector sums[ROWS][2];
    EVERY_ROW sums[r][0] = sums[r][1] = (Vector){0};
    for (int64_t i = 0; i < inputs; i++) {
        Vector left, right;
        memcpy(&left, panel + i * PANEL, sizeof left);
        memcpy(&right, panel + i * PANEL + LANES, sizeof right);
        for (int line = 0; line < 2 * (int)sizeof left; line += 64)
            __builtin_prefetch((const char *)(panel + i * PANEL) + AHEAD + line);
        EVERY_ROW {
            const float value = from[r * stride + i];
            sums[r][0] += value * left;
            sums[r][1] += value * right;
        }
    }
    EVERY_ROW memcpy(tile + r * PANEL, sums[r], sizeof sums[r]);
}

/* Sums and the products of neighbours, two to a sum. Of what lies beyond the last output they may overflow. */
static inline __attribute__((always_inline)) Sums add_products(Sums sums, Sums pairs, Sums others) {
#if defined __AVX512VNNI__ && LANES == 16
    return (Sums)_mm512_dpwssd_epi32((__m512i)sums, (__m512i)pairs, (__m512i)others);
#elif LANES == 8
    return (Sums)_mm256_add_epi32((__m256i)sums, _mm256_madd_epi16((__m256i)pairs, (__m256i)others));
#else /* long vectors without AVX512, which tests have */
    __m256i parts[3][2];
    memcpy(parts[0], &sums, sizeof sums), memcpy(parts[1], &pairs, sizeof sums), memcpy(parts[2], &others, sizeof sums);
    for (int k = 0; k < 2; k++) parts[0][k] = _mm256_add_epi32(parts[0][k], _mm256_madd_epi16(parts[1][k], parts[2][k]));
    memcpy(&sums, parts[0], sizeof sums);
    return sums;
#endif
}

/* The same of whole numbers: pairs of inputs, a group at a time, and the scales of both for each group. */
static inline __attribute__((always_inline)) void multiply_whole(const int rows, const int16_t *restrict from,
                                                                 int64_t stride, const float *restrict row_scales,
                                                                 int64_t inputs,
                                                                 const int16_t *restrict panel,
                                                                 const float *restrict scales, float *restrict tile) {
    const int64_t pairs = pairs_of(inputs), groups = groups_of(inputs);
    for (int64_t group = 0; group < groups; group++) {
        const int64_t begin = group * (GROUP / 2);
        const int64_t end = begin + GROUP / 2 < pairs ? begin + GROUP / 2 : pairs;
        Sums sums[ROWS][2];
        EVERY_ROW sums[r][0] = sums[r][1] = (Sums){0};
        for (int64_t pair = begin; pair < end; pair++) {
            Sums left, right;
            memcpy(&left, panel + pair * 2 * PANEL, sizeof left);
            memcpy(&right, panel + pair * 2 * PANEL + 2 * LANES, sizeof right);
            for (int line = 0; line < 2 * (int)sizeof left; line += 64)
                __builtin_prefetch((const char *)(panel + pair * 2 * PANEL) + AHEAD + line);
            EVERY_ROW {
                int32_t value;
                memcpy(&value, from + r * stride + pair * 2, sizeof value);
                const Sums values = value + (Sums){0};
                sums[r][0] = add_products(sums[r][0], values, left);
                sums[r][1] = add_products(sums[r][1], values, right);
            }
        }
        EVERY_ROW for (int half = 0; half < 2; half++) {
            Vector scale, total = {0};
            memcpy(&scale, scales + group * PANEL + half * LANES, sizeof scale);
            float *to = tile + r * PANEL + half * LANES;
            if (group) memcpy(&total, to, sizeof total);
            total += __builtin_convertvector(sums[r][half], Vector) * (scale * row_scales[r * groups + group]);
            memcpy(to, &total, sizeof total);
        }
    }
}

/* One function for each number of rows, by itself: inlined, the compiler keeps sums in memory. */
typedef void (*Multiply)(const float *, int64_t, int64_t, const float *, float *);
typedef void (*MultiplyWhole)(const int16_t *, int64_t, const float *, int64_t, const int16_t *, const float *, float *);
#define OF_ROWS(rows)                                                                                               \
    static __attribute__((noinline)) void multiply_##rows(const float *from, int64_t stride, int64_t inputs,        \
                                                          const float *panel, float *tile) {                        \
        multiply(rows, from, stride, inputs, panel, tile);                                                          \
    }                                                                                                               \
    static __attribute__((noinline)) void multiply_whole_##rows(                                                    \
        const int16_t *from, int64_t stride, const float *row_scales, int64_t inputs, const int16_t *panel,         \
        const float *scales, float *tile) {                                                                         \
        multiply_whole(rows, from, stride, row_scales, inputs, panel, scales, tile);                                \
    }
OF_ROWS(1) OF_ROWS(2) OF_ROWS(3) OF_ROWS(4) OF_ROWS(5) OF_ROWS(6)
#define UP_TO_SIX(name) 0, name##1, name##2, name##3, name##4, name##5, name##6
#if ROWS == 6
static const Multiply MULTIPLY[ROWS + 1] = {UP_TO_SIX(multiply_)};
static const MultiplyWhole MULTIPLY_WHOLE[ROWS + 1] = {UP_TO_SIX(multiply_whole_)};
#else
OF_ROWS(7) OF_ROWS(8) OF_ROWS(9) OF_ROWS(10) OF_ROWS(11) OF_ROWS(12)
#define UP_TO_TWELVE(name) UP_TO_SIX(name), name##7, name##8, name##9, name##10, name##11, name##12
static const Multiply MULTIPLY[ROWS + 1] = {UP_TO_TWELVE(multiply_)};
static const MultiplyWhole MULTIPLY_WHOLE[ROWS + 1] = {UP_TO_TWELVE(multiply_whole_)};
#endif

static inline uint32_t magnitude(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits & 0x7fffffff; /* of what is no number larger than of all numbers */
}

/* In its last 16 bits the nearest whole number; see `power_of_two`. */
static inline uint32_t rounded(float value) {
    const float shifted = value + 12582912.0f;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    return bits;
}

/* Of a group: what one is worth, and what its values are multiplied by. */
typedef struct {
    float unit, factor;
} Scale;

/* From its largest magnitude. What is no number has a unit that is none. */
static inline Scale scale_of(uint32_t most_bits) {
    float most;
    memcpy(&most, &most_bits, sizeof most);
    return (Scale){most / LARGEST, most > 1e-30f ? LARGEST / most : 0.0f};
}

/* A row as whole numbers, and the scales of its groups. */
static void round_row(const float *from, int64_t inputs, int16_t *to, float *scales) {
    for (int64_t begin = 0; begin < inputs; begin += GROUP) {
        const int64_t end = begin + GROUP < inputs ? begin + GROUP : inputs;
        uint32_t most = 0;
        for (int64_t c = begin; c < end; c++) {
            const uint32_t bits = magnitude(from[c]);
            most = bits > most ? bits : most;
        }
        const Scale scale = scale_of(most);
        *scales++ = scale.unit;
        for (int64_t c = begin; c < end; c++) to[c] = (int16_t)rounded(from[c] * scale.factor);
    }
    if (inputs % 2) to[inputs] = 0;
}

/* n rows in parts of even size: where part `index` begins. */
static inline int64_t part(int64_t n, int64_t parts, int64_t index) { return n * index / parts; }

/* The same, so that only the last part has rows that do not fill the registers. */
static inline int64_t part_of_rows(int64_t n, int64_t parts, int64_t index) {
    const int64_t begin = part(parts_of(n, ROWS), parts, index) * ROWS;
    return begin < n ? begin : n;
}

/* The first columns of a panel; mostly all, which takes no call. */
static inline void copy_columns(const float *from, int64_t columns, float *to) {
    if (columns == PANEL) memcpy(to, from, PANEL * sizeof(float));
    else memcpy(to, from, columns * sizeof(float));
}
