/* What the C here shares. What stands between the products goes value by value: plain loops, which the compiler turns
into vectors. */

#pragma once

#include <math.h>
#include <stdint.h>
#include <string.h>

#define LOG2_E 1.4426950408889634f

enum { FLOAT32, BFLOAT16 }; /* types of values */
enum { NOTHING, GELU, GELU_TANH, RELU };

/* As many parts as are needed, of `most` each. */
static inline int64_t parts_of(int64_t count, int64_t most) { return (count + most - 1) / most; }

/* 2 to the power of x, to 3e-7 of it, for x up to 126; below 2^-126 zero. */
static inline float power_of_two(float x) {
    const float shifted = x + 12582912.0f; /* 1.5 * 2^23: no room behind the point; the last bits are the whole */
    const float rest = x - (shifted - 12582912.0f); /* within a half */
    uint32_t whole;
    memcpy(&whole, &shifted, sizeof whole);
    const uint32_t bits = (whole << 23) + 0x3f800000;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    /* The series of 2^rest: ln(2)^k / k!. */
    float sum = 1.5403530e-4f;
    sum = sum * rest + 1.3333558e-3f;
    sum = sum * rest + 9.6181291e-3f;
    sum = sum * rest + 5.5504109e-2f;
    sum = sum * rest + 2.4022651e-1f;
    sum = sum * rest + 6.9314718e-1f;
    return x < -126.0f ? 0.0f : (sum * rest + 1.0f) * scale;
}

/* exp(-x^2 / 2). */
static inline float bell_curve(float x) { return power_of_two(-0.5f * LOG2_E * x * x); }

/* The share of a normal distribution below x, by which GELU multiplies it: the error function to 2e-7 by Abramowitz and
Stegun 1964, 7.1.26. `bell` is that of x. */
static inline float share_below(float x, float bell) {
    const float t = 1.0f / (1.0f + 0.3275911f * 0.70710678f * fabsf(x));
    float sum = 1.061405429f * t - 1.453152027f;
    sum = sum * t + 1.421413741f;
    sum = sum * t - 0.284496736f;
    sum = sum * t + 0.254829592f;
    const float erf = copysignf(1.0f - sum * t * bell, x);
    return 0.5f * (1.0f + erf);
}

/* The same for GELU by tanh: 0.5 (1 + tanh u) is 1 over 1 + exp(-2 u). */
static inline float tanh_share(float x) {
    const float u = -1.5957691f * LOG2_E * (x + 0.044715f * x * x * x);
    return u > 126.0f ? 0.0f : 1.0f / (1.0f + power_of_two(u));
}

static inline void activate(float *values, int64_t count, int activation) {
    switch (activation) {
    case GELU:
        for (int64_t c = 0; c < count; c++) values[c] *= share_below(values[c], bell_curve(values[c]));
        break;
    case GELU_TANH:
        for (int64_t c = 0; c < count; c++) values[c] *= tanh_share(values[c]);
        break;
    case RELU:
        for (int64_t c = 0; c < count; c++) values[c] = values[c] < 0.0f ? 0.0f : values[c];
        break;
    }
}

/* Values -> the activation's, and its derivatives. */
static inline void activate_and_derive(float *restrict values, int64_t count, int64_t activation,
                                       float *restrict slopes) {
    switch (activation) {
    case GELU:
        for (int64_t c = 0; c < count; c++) {
            const float x = values[c], bell = bell_curve(x), share = share_below(x, bell);
            values[c] = x * share;
            slopes[c] = share + x * 0.39894228f * bell;
        }
        break;
    case GELU_TANH:
        for (int64_t c = 0; c < count; c++) {
            const float x = values[c], share = tanh_share(x);
            values[c] = x * share;
            slopes[c] = share + x * share * (1.0f - share) * 1.5957691f * (1.0f + 0.134145f * x * x);
        }
        break;
    case RELU:
        for (int64_t c = 0; c < count; c++) {
            slopes[c] = values[c] <= 0.0f ? 0.0f : 1.0f;
            values[c] = values[c] < 0.0f ? 0.0f : values[c];
        }
        break;
    }
}

/* Of a row: its mean, and one over its deviation. */
typedef struct {
    float mean, scale;
} Spread;

static inline Spread spread_of(const float *row, int64_t width, float eps) {
    float total = 0.0f, rest = 0.0f, squares = 0.0f;
#pragma omp simd reduction(+ : total)
    for (int64_t c = 0; c < width; c++) total += row[c];
    const float mean = total / width;
#pragma omp simd reduction(+ : rest, squares)
    for (int64_t c = 0; c < width; c++) {
        const float off = row[c] - mean;
        rest += off, squares += off * off;
    }
    rest /= width; /* by which rounding had the mean wrong */
    const float variance = squares / width - rest * rest;
    return (Spread){mean + rest, 1.0f / sqrtf((variance > 0.0f ? variance : 0.0f) + eps)};
}

/* LayerNorm of one row. */
static inline void normalise(const float *from, int64_t width, const float *weight, const float *bias, float eps,
                             float *to) {
    const Spread spread = spread_of(from, width, eps);
    for (int64_t c = 0; c < width; c++) to[c] = (from[c] - spread.mean) * spread.scale * weight[c] + bias[c];
}

/* A row of scores -> the powers of two of `scale` times what they are beside the largest; what these add up to. */
static inline float powers(float *scores, int64_t count, float scale) {
    float most = scores[0], total = 0.0f;
#pragma omp simd reduction(max : most)
    for (int64_t c = 0; c < count; c++) most = scores[c] > most ? scores[c] : most;
#pragma omp simd reduction(+ : total)
    for (int64_t c = 0; c < count; c++) total += scores[c] = power_of_two((scores[c] - most) * scale);
    return total;
}
