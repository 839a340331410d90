/* Products of whole numbers, for training where nothing multiplies faster: both matrices come in float32, as they lie,
and are rounded on the way.

The left one is laid out in rows and the right one in panels, see `product.h`. Tasks are shared out as threads become
free; in what order a value is summed depends on K alone.

Letters: M rows, K what is summed over, N columns. */

#include <omp.h>
#include <stdlib.h>

#include "product.h"

/* Rows of the left matrix, or columns of the right one, that are laid out by a task: whole panels. */
#define STRIP 64
_Static_assert(STRIP % PANEL == 0, "strips are whole panels");
/* Rows of a task. */
#define CHUNK 96
/* Pairs of a line of the cache. */
#define LINE 16

/* (count, K): rows of the left matrix, or columns of the right one. */
typedef struct {
    const float *values;
    int64_t step, inner_step; /* from one of `count` to the next, and along K; one of both is 1 */
} Matrix;

typedef struct {
    Matrix left, right;
    int64_t m, n, k;
    const float *bias; /* (N,), or NULL */
    float *made;       /* (M, N), dense */
} WholeProduct;

/* Panels of `width`, which is 1 for rows: (ceil(count / width), stride, width) pairs, of which there are ceil(K / 2), and
the scales of each, (ceil(count / width), ceil(K / GROUP), width). */
typedef struct {
    int32_t *pairs;
    float *scales;
    int64_t stride, groups;
} Panels;

static inline int32_t *pairs_at(Panels to, int64_t width, int64_t c) {
    return to.pairs + c / width * width * to.stride + c % width;
}

static inline float *scales_at(Panels to, int64_t width, int64_t c) {
    return to.scales + c / width * width * to.groups + c % width;
}

/* A group of a strip, (count, k), as pairs and scales, where k lies side by side. */
static inline __attribute__((always_inline)) void lay_out_along(Matrix from, int64_t count, int64_t k,
                                                                const int64_t width, Panels to) {
    for (int64_t c = 0; c < count; c++) {
        int16_t whole[GROUP];
        int32_t *panel = pairs_at(to, width, c);
        round_row(from.values + c * from.step, k, whole, scales_at(to, width, c));
        for (int64_t pair = 0; pair < pairs_of(k); pair++) memcpy(panel + pair * width, whole + 2 * pair, 4);
    }
}

/* The same, where `count` lies side by side. */
static inline __attribute__((always_inline)) void lay_out_across(Matrix from, int64_t count, int64_t k,
                                                                 const int64_t width, Panels to) {
    static const float zeros[STRIP];
    uint32_t most[STRIP] = {0};
    float factors[STRIP];
    for (int64_t i = 0; i < k; i++)
        for (int64_t c = 0; c < count; c++) {
            const uint32_t bits = magnitude(from.values[i * from.inner_step + c]);
            most[c] = bits > most[c] ? bits : most[c];
        }
    for (int64_t c = 0; c < count; c++) {
        const Scale scale = scale_of(most[c]);
        *scales_at(to, width, c) = scale.unit;
        factors[c] = scale.factor;
    }
    for (int64_t i = 0; i < k; i += 2) {
        const float *first = from.values + i * from.inner_step, *second = i + 1 < k ? first + from.inner_step : zeros;
        uint32_t both[STRIP]; /* past `count` anything: what is made of it is not written */
        for (int64_t c = 0; c < count; c++)
            both[c] = (rounded(first[c] * factors[c]) & 0xffff) | rounded(second[c] * factors[c]) << 16;
        for (int64_t c = 0; c < count; c += width) memcpy(to.pairs + c * to.stride + i / 2 * width, both + c, width * 4);
    }
}

/* Group `task % groups` of strip `task / groups`. */
static inline __attribute__((always_inline)) void lay_out(Matrix from, int64_t count, int64_t k, const int64_t width,
                                                          int64_t task, Panels to) {
    const int64_t group = task % to.groups, first = task / to.groups * STRIP;
    const int64_t strip = count - first < STRIP ? count - first : STRIP, inner = group * GROUP;
    const int64_t rest = k - inner < GROUP ? k - inner : GROUP;
    from.values += first * from.step + inner * from.inner_step;
    to.pairs += first * to.stride + inner / 2 * width;
    to.scales += first * to.groups + group * width;
    if (from.inner_step == 1) lay_out_along(from, strip, rest, width, to);
    else lay_out_across(from, strip, rest, width, to);
}

/* `copy_columns` past the caches, where whole lines are written: a plain store has each line read first. */
static inline void stream_columns(const float *from, int64_t columns, float *to) {
    if (columns == PANEL && (uintptr_t)to % 64 == 0) {
        for (int c = 0; c < PANEL; c += 8) _mm256_stream_ps(to + c, _mm256_loadu_ps(from + c));
    } else {
        copy_columns(from, columns, to);
    }
}

/* Some rows by some panels: what is made of a row lies side by side. */
static void multiply_task(const WholeProduct *product, int64_t first, int64_t end, int64_t panel, int64_t panels_end,
                          Panels left, Panels right) {
    for (int64_t row = first; row < end; row += ROWS) {
        const int64_t rows = end - row < ROWS ? end - row : ROWS;
        for (int64_t column = panel * PANEL; column < panels_end * PANEL; column += PANEL) {
            const int64_t rest = product->n - column, columns = rest < PANEL ? rest : PANEL;
            float tile[ROWS * PANEL];
            MULTIPLY_WHOLE[rows]((const int16_t *)(left.pairs + row * left.stride), left.stride * 2,
                                 left.scales + row * left.groups, product->k,
                                 (const int16_t *)(right.pairs + column * right.stride),
                                 right.scales + column * right.groups, tile);
            for (int64_t r = 0; r < rows; r++) {
                float *made = tile + r * PANEL;
                if (product->bias)
                    for (int64_t c = 0; c < columns; c++) made[c] += product->bias[column + c];
                stream_columns(made, columns, product->made + (row + r) * product->n + column);
            }
        }
    }
}

enum { EDITION = 1 }; /* one more with every change of what is computed, asked for or given */
const int64_t layout[] = {EDITION, sizeof(WholeProduct)};

/* Left by right, plus the bias -> (M, N); 1 if there is no memory. */
int multiply_whole_matrices(const WholeProduct *product, int threads) {
    const int64_t m = product->m, n = product->n, k = product->k, pairs = pairs_of(k), groups = groups_of(k);
    const int64_t panels = panels_of(n), columns = panels * PANEL;
    const int64_t left_tasks = parts_of(m, STRIP) * groups, right_tasks = parts_of(n, STRIP) * groups;
    const int64_t most = CACHED_BYTES / (PANEL * pairs * 4), together = most > 1 ? most : 1;
    const int64_t chunks = parts_of(m, CHUNK), strips = parts_of(panels, together);
    int32_t *memory;
    const int64_t stride = pairs + LINE; /* so that rows of a power of two do not all fall into one set of the cache */
    if (posix_memalign((void **)&memory, 64, (size_t)(m * (stride + groups) + columns * (pairs + groups)) * 4)) return 1;
    float *scales = (float *)(memory + columns * pairs + m * stride);
    const Panels right = {memory, scales, pairs, groups}; /* first: its panels are whole lines */
    const Panels left = {memory + columns * pairs, scales + columns * groups, stride, groups};
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(dynamic)
        for (int64_t task = 0; task < left_tasks + right_tasks; task++) {
            if (task < left_tasks) lay_out(product->left, m, k, 1, task, left);
            else lay_out(product->right, n, k, PANEL, task - left_tasks, right);
        }
#pragma omp for schedule(dynamic)
        for (int64_t task = 0; task < chunks * strips; task++) {
            const int64_t chunk = task % chunks, strip = task / chunks;
            multiply_task(product, part_of_rows(m, chunks, chunk), part_of_rows(m, chunks, chunk + 1),
                          part(panels, strips, strip), part(panels, strips, strip + 1), left, right);
        }
        _mm_sfence(); /* what went past the caches is seen by whoever reads it next */
    }
    free(memory);
    return 0;
}
