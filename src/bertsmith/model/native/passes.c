/* What a training step does between its products, each in one pass over memory, forward and backward.

Values are of one type throughout a call, float32 or bfloat16; what is computed of them is float32. Rows are shared out
among the threads. Sums over rows are made in blocks, whose number does not depend on the threads, so that neither do
the sums: who calls adds the blocks up.

Letters: N rows, D values of a row; B rows of a batch, A heads, Q places that ask, T places that are seen. */

#include <immintrin.h>
#include <omp.h>

#include "functions.h"

enum { EDITION = 1 }; /* one more with every change of what is computed, asked for or given */
enum { BLOCKS = 64, STRETCH = 256 };

#define IN_BLOCKS _Pragma("omp parallel for schedule(dynamic) num_threads(threads)") for
#define IN_ROWS _Pragma("omp parallel for schedule(static) num_threads(threads)") for

/* Where a block of things begins. */
static inline int64_t begin(int64_t things, int64_t block) { return things * block / BLOCKS; }

/* -> float32, exactly. */
static inline void read_values(const void *values, int64_t type, int64_t first, int64_t count, float *restrict to) {
    if (type == FLOAT32) {
        memcpy(to, (const float *)values + first, (size_t)count * sizeof(float));
        return;
    }
    const uint16_t *restrict from = (const uint16_t *)values + first;
    for (int64_t c = 0; c < count; c++) {
        const uint32_t bits = (uint32_t)from[c] << 16;
        memcpy(to + c, &bits, sizeof bits);
    }
}

/* To the nearest, of two to the even one; what is no number stays none. */
static inline void write_values(const float *restrict from, int64_t count, void *values, int64_t type, int64_t first) {
    if (type == FLOAT32) {
        memcpy((float *)values + first, from, (size_t)count * sizeof(float));
        return;
    }
    uint16_t *restrict to = (uint16_t *)values + first;
    int64_t c = 0;
#ifdef __AVX512BF16__ /* what lies below 2^-126 becomes zero */
    for (; c + 16 <= count; c += 16)
        _mm256_storeu_si256((__m256i *)(to + c), (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(from + c)));
#endif
    for (; c < count; c++) {
        uint32_t bits;
        memcpy(&bits, from + c, sizeof bits);
        const uint32_t nearest = bits + 0x7fff + (bits >> 16 & 1);
        to[c] = (uint16_t)(((bits & 0x7fffffff) > 0x7f800000 ? bits | 0x400000 : nearest) >> 16);
    }
}

static inline void add(const float *restrict from, int64_t count, float *restrict to) {
    for (int64_t c = 0; c < count; c++) to[c] += from[c];
}

/* (N, D) and a bias (D,) -> the activation of their sum; its derivatives, which take the values' place. */
void activate_rows(void *values, const float *bias, int64_t rows, int64_t width, int64_t type, int64_t activation,
                   void *activated, int threads) {
    IN_ROWS(int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < width; c += STRETCH) {
            const int64_t count = width - c < STRETCH ? width - c : STRETCH;
            float row[STRETCH], slopes[STRETCH];
            read_values(values, type, r * width + c, count, row);
            add(bias + c, count, row);
            activate_and_derive(row, count, activation, slopes);
            write_values(row, count, activated, type, r * width + c);
            write_values(slopes, count, values, type, r * width + c);
        }
}

/* Gradients (N, D) of what was activated, and the derivatives -> of the values; `sums`, (BLOCKS, D): over the rows. */
void activate_rows_backward(const void *gradient, const void *slopes, int64_t rows, int64_t width, int64_t type,
                            void *of_values, float *sums, int threads) {
    memset(sums, 0, (size_t)(BLOCKS * width) * sizeof(float));
    IN_BLOCKS(int64_t block = 0; block < BLOCKS; block++)
        for (int64_t r = begin(rows, block); r < begin(rows, block + 1); r++)
            for (int64_t c = 0; c < width; c += STRETCH) {
                const int64_t count = width - c < STRETCH ? width - c : STRETCH;
                float row[STRETCH], derived[STRETCH];
                read_values(gradient, type, r * width + c, count, row);
                read_values(slopes, type, r * width + c, count, derived);
                for (int64_t k = 0; k < count; k++) row[k] *= derived[k];
                add(row, count, sums + block * width + c);
                write_values(row, count, of_values, type, r * width + c);
            }
}

/* values + residual, and LayerNorm. */
typedef struct {
    const void *values;                    /* (N, D) */
    const float *residual, *weight, *bias; /* (N, D), (D,), (D,) */
    float *hidden, *normal, *scales;       /* (N, D) the result, (N, D) before weight and bias, (N,) 1 / deviation */
    void *rounded;                         /* (N, D) the result in the values' type; or NULL */
    int64_t rows, width, type;
    double eps;
} AddNorm;

void add_norm(const AddNorm *step, int threads) {
    const int64_t width = step->width;
    IN_ROWS(int64_t r = 0; r < step->rows; r++) {
        const int64_t first = r * width;
        float *normal = step->normal + first, *hidden = step->hidden + first;
        read_values(step->values, step->type, first, width, hidden);
        add(step->residual + first, width, hidden);
        const Spread spread = spread_of(hidden, width, (float)step->eps);
        step->scales[r] = spread.scale;
        for (int64_t c = 0; c < width; c++) {
            normal[c] = (hidden[c] - spread.mean) * spread.scale;
            hidden[c] = normal[c] * step->weight[c] + step->bias[c];
        }
        if (step->rounded) write_values(hidden, width, step->rounded, step->type, first);
    }
}

typedef struct {
    const float *of_hidden; /* (N, D) gradients of each result; or NULL */
    const void *of_rounded;
    const float *normal, *scales, *weight; /* as `AddNorm` has them */
    float *of_residual;                    /* (N, D), also those of the values, if these are float32 */
    void *of_values;                       /* (N, D); or NULL */
    float *sums;                           /* (BLOCKS, 2, D): the gradients of weight and bias */
    int64_t rows, width, type;
} AddNormBackward;

void add_norm_backward(const AddNormBackward *step, int threads) {
    const int64_t width = step->width;
    memset(step->sums, 0, (size_t)(BLOCKS * 2 * width) * sizeof(float));
    IN_BLOCKS(int64_t block = 0; block < BLOCKS; block++) {
        float *of_weight = step->sums + block * 2 * width, *of_bias = of_weight + width;
        for (int64_t r = begin(step->rows, block); r < begin(step->rows, block + 1); r++) {
            const int64_t first = r * width;
            const float *normal = step->normal + first, *weight = step->weight, scale = step->scales[r];
            float *row = step->of_residual + first, total = 0.0f, along = 0.0f;
            if (step->of_rounded) read_values(step->of_rounded, step->type, first, width, row);
            else memset(row, 0, (size_t)width * sizeof(float));
            if (step->of_hidden) add(step->of_hidden + first, width, row);
            for (int64_t c = 0; c < width; c++) {
                of_bias[c] += row[c];
                of_weight[c] += row[c] * normal[c];
            }
#pragma omp simd reduction(+ : total, along)
            for (int64_t c = 0; c < width; c++) {
                row[c] *= weight[c];
                total += row[c];
                along += row[c] * normal[c];
            }
            const float mean = total / width, slope = along / width;
            for (int64_t c = 0; c < width; c++) row[c] = scale * (row[c] - mean - normal[c] * slope);
            if (step->of_values) write_values(row, width, step->of_values, step->type, first);
        }
    }
}

/* Scores (B, A, Q, T) plus a bias, (1 or B, 1, Q, T) or NULL -> their softmax, in place. `space`: (threads, 2, T). */
void softmax_rows(void *scores, const void *bias, int64_t biases, int64_t batch, int64_t heads, int64_t queries,
                  int64_t tokens, int64_t type, float *space, int threads) {
    IN_ROWS(int64_t r = 0; r < batch * heads * queries; r++) {
        float *row = space + omp_get_thread_num() * 2 * tokens, *other = row + tokens;
        read_values(scores, type, r * tokens, tokens, row);
        if (bias) {
            const int64_t of_bias = r / (heads * queries) % biases * queries + r % queries;
            read_values(bias, type, of_bias * tokens, tokens, other);
            add(other, tokens, row);
        }
        const float share = 1.0f / powers(row, tokens, LOG2_E);
        for (int64_t c = 0; c < tokens; c++) row[c] *= share;
        write_values(row, tokens, scores, type, r * tokens);
    }
}

/* For who calls to see whether both mean the same: the edition, blocks, bytes of the structures. */
const int64_t layout[] = {EDITION, BLOCKS, sizeof(AddNorm), sizeof(AddNormBackward)};
