/* Products by a processor's tiles (AMX): sums in float32 of what is bfloat16, or is rounded to it on the way.

A tile is 16 rows of 64 bytes. The left matrix is laid out as tiles of 16 rows by 32 values, the right one as tiles of
32 values by 16 columns, in which pairs of values stand together. Two tiles of the left by two of the right make a block
of sums; that is what eight registers allow for. The right matrix is laid out whole, by all threads. Then each takes
some rows of the left one, and a stretch of the values to be summed at a time: so much of a panel of the right stays in
the first-level cache while blocks of the left pass by from the second, where sums wait for the next stretch. What is
read next is fetched ahead. What happens to sums that are done (bias, activation, rounding) is done between the
multiplications of the next block.

In what order a value's parts are added depends on the sizes alone, not on the threads.

Letters: M rows of the left, N columns of the right, K values that are summed. */

#include <immintrin.h>
#include <omp.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "functions.h"

enum { EDITION = 3 }; /* one more with every change of what is computed, asked for or given */
enum { DONE, NO_MEMORY };
enum { AS_IT_IS, ACTIVATED, SLOPED, POWERS };

enum { SIDE = 16, STEP = 32, BLOCK = 32 };                          /* of a tile; values of K in it; of a block */
enum { TILE = SIDE * STEP, PAIR = 2 * TILE, SUMS = BLOCK * BLOCK }; /* values in a tile, in two, in a block */
enum { LINE = 64 };                                                 /* bytes that a cache moves at once */
/* Of M, N and K at a time; K up to which left rows that are laid out are kept for the next columns; panels by K up to
which the right matrix stays in the second-level cache. Chosen on two cores with 2 MB of that each, see
bench/RESULTS.md. */
enum { ROWS = 384, COLUMNS = 768, STRETCH = 512, KEPT = 1024, NEAR = 8192 };
#define MOST 126.0f /* bits of a power */

typedef struct {
    const void *values;
    int64_t type, stride, turned; /* turned: its rows are the matrix's columns */
} Matrix;

typedef struct {
    Matrix left, right; /* (M, K), (K, N) */
    int64_t m, n, k;
    void *made; /* (M, N) in rows of `stride`; turned: (N, M), which is for float32 and AS_IT_IS without a bias */
    int64_t type, stride, turned;
    int64_t ending, activation;
    const float *bias; /* (N,) or NULL; added first; POWERS: (M,) */
    uint16_t *slopes;  /* ACTIVATED: the activation's derivatives, to be written; SLOPED: what sums are multiplied by */
    float *totals;     /* SLOPED, POWERS: (ceil(M / BLOCK), N), what was made, summed over the rows of each block */
} TileProduct;

/* A block's sums, which are still to be written. */
typedef struct {
    const float *sums;
    int64_t row, column, next, rows; /* of the block; of its rows those before `next` are written */
    float totals[BLOCK];
} Pending;

static inline int64_t least(int64_t one, int64_t other) { return one < other ? one : other; }
/* The first of so many, of 32: a mask. */
static inline __mmask32 first_of(int64_t count) {
    return count >= 32 ? 0xffffffffu : count <= 0 ? 0 : (1u << count) - 1;
}

/* 16 rows of 16 values of four bytes -> its transpose. */
static inline __attribute__((always_inline)) void transpose(__m512i r[SIDE]) {
    __m512i t[SIDE];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int j = 0; j < 2; j++) {
            r[i + 2 * j] = _mm512_unpacklo_epi64(t[i + j], t[i + j + 2]);
            r[i + 2 * j + 1] = _mm512_unpackhi_epi64(t[i + j], t[i + j + 2]);
        }
    for (int i = 0; i < 16; i += 8)
        for (int j = 0; j < 4; j++) {
            t[i + j] = _mm512_shuffle_i32x4(r[i + j], r[i + j + 4], 0x88);
            t[i + j + 4] = _mm512_shuffle_i32x4(r[i + j], r[i + j + 4], 0xdd);
        }
    for (int j = 0; j < 8; j++) {
        r[j] = _mm512_shuffle_i32x4(t[j], t[j + 8], 0x88);
        r[j + 8] = _mm512_shuffle_i32x4(t[j], t[j + 8], 0xdd);
    }
}

/* Up to 32 values, as bfloat16; zeros after them. */
static inline __attribute__((always_inline)) __m512i values_at(const void *values, const int type, int64_t at,
                                                               __mmask32 some) {
    if (type == BFLOAT16) return _mm512_maskz_loadu_epi16(some, (const uint16_t *)values + at);
    const float *from = (const float *)values + at;
    return (__m512i)_mm512_cvtne2ps_pbh(_mm512_maskz_loadu_ps((__mmask16)(some >> 16), from + 16),
                                        _mm512_maskz_loadu_ps((__mmask16)some, from));
}

static inline void store_tile(const __m512i r[SIDE], uint16_t *to) {
    for (int i = 0; i < SIDE; i++) _mm512_storeu_si512(to + i * STEP, r[i]);
}

/* Of 32 rows (or, of the right matrix, columns) from `first`, of `count` that there are: STEP values from `k` of `end`
-> two tiles. */
static inline __attribute__((always_inline)) void lay_out_typed(const Matrix *from, const int type, const int right,
                                                                int64_t first, int64_t count, int64_t k, int64_t end,
                                                                uint16_t *to) {
    const int turned = right ? !from->turned : (int)from->turned; /* whether a row in memory is of one k */
    const int64_t stride = from->stride;
    __m512i one[SIDE], two[SIDE];
    if (!turned) {
        const __mmask32 some = first_of(end - k);
        int64_t at = first * stride + k, left = count - first;
        for (int i = 0; i < SIDE; i++, at += stride, left--) {
            one[i] = values_at(from->values, type, at, left > 0 ? some : 0);
            two[i] = values_at(from->values, type, at + SIDE * stride, left > SIDE ? some : 0);
        }
    } else {
        const __mmask32 some = first_of(count - first);
        const __m512i low = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, /* pairs */
                                             39, 7, 38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
        const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(SIDE));
        int64_t at = k * stride + first, left = end - k;
        for (int i = 0; i < SIDE; i++, at += 2 * stride, left -= 2) {
            const __m512i even = values_at(from->values, type, at, left > 0 ? some : 0);
            const __m512i odd = values_at(from->values, type, at + stride, left > 1 ? some : 0);
            one[i] = _mm512_permutex2var_epi16(even, low, odd);
            two[i] = _mm512_permutex2var_epi16(even, high, odd);
        }
    }
    if (turned != right) transpose(one), transpose(two);
    store_tile(one, to);
    store_tile(two, to + TILE);
}

static void lay_out(const Matrix *from, const int right, int64_t first, int64_t count, int64_t k, int64_t end,
                    uint16_t *to) {
    if (from->type == BFLOAT16) lay_out_typed(from, BFLOAT16, right, first, count, k, end, to);
    else lay_out_typed(from, FLOAT32, right, first, count, k, end, to);
}

/* What is made goes past the caches a line at a time: a store would first have each line read. */
static inline int is_line(const void *at) { return (uintptr_t)at % LINE == 0; }
static inline void write_line(float *to, __mmask16 some, __m512 values) {
    if (some == 0xffff && is_line(to)) _mm512_stream_ps(to, values);
    else _mm512_mask_storeu_ps(to, some, values);
}

static inline __attribute__((always_inline)) void write_rounded(uint16_t *to, __mmask32 some, __m512 left,
                                                                __m512 right) {
    const __m512i rounded = (__m512i)_mm512_cvtne2ps_pbh(right, left);
    if (some == 0xffffffff && is_line(to)) _mm512_stream_si512((__m512i *)to, rounded);
    else _mm512_mask_storeu_epi16(to, some, rounded);
}

/* 32 slopes of bfloat16 by what they multiply. */
static inline void multiply_by(__m512i slopes, __m512 *left, __m512 *right) {
    const __m512i low = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(slopes));
    const __m512i high = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(slopes, 1));
    *left = _mm512_mul_ps(*left, (__m512)_mm512_slli_epi32(low, 16));
    *right = _mm512_mul_ps(*right, (__m512)_mm512_slli_epi32(high, 16));
}

static inline __attribute__((always_inline)) void add_to(float totals[BLOCK], __m512 left, __m512 right) {
    _mm512_storeu_ps(totals, _mm512_add_ps(_mm512_loadu_ps(totals), left));
    _mm512_storeu_ps(totals + SIDE, _mm512_add_ps(_mm512_loadu_ps(totals + SIDE), right));
}

/* Two to the power of 32 values; of large ones a number that is large. */
static inline __attribute__((always_inline)) void raise_two_to(__m512 *left, __m512 *right) {
    float row[BLOCK];
    _mm512_storeu_ps(row, _mm512_min_ps(_mm512_set1_ps(MOST), *left)); /* no number stays none */
    _mm512_storeu_ps(row + SIDE, _mm512_min_ps(_mm512_set1_ps(MOST), *right));
    for (int c = 0; c < BLOCK; c++) row[c] = power_of_two(row[c]);
    *left = _mm512_loadu_ps(row);
    *right = _mm512_loadu_ps(row + SIDE);
}

/* Some more rows of a block: ended as is asked for, and written. */
static inline __attribute__((always_inline)) void write_rows(const TileProduct *product, Pending *pending,
                                                             int64_t count) {
    const int64_t end = least(pending->rows, pending->next + count);
    const __mmask32 some = first_of(product->n - pending->column);
    const __mmask16 some_left = (__mmask16)some, some_right = (__mmask16)(some >> 16);
    __m512 of_left = _mm512_setzero_ps(), of_right = _mm512_setzero_ps();
    if (product->bias && product->ending != POWERS) {
        of_left = _mm512_maskz_loadu_ps(some_left, product->bias + pending->column);
        of_right = _mm512_maskz_loadu_ps(some_right, product->bias + pending->column + SIDE);
    }
    int64_t at = (pending->row + pending->next) * product->stride + pending->column;
    for (int64_t r = pending->next; r < end; r++, at += product->stride) {
        const float *sums = pending->sums + (r & SIDE) * BLOCK + (r & (SIDE - 1)) * SIDE; /* four tiles, two by two */
        __m512 left = _mm512_add_ps(_mm512_loadu_ps(sums), of_left);
        __m512 right = _mm512_add_ps(_mm512_loadu_ps(sums + SIDE * SIDE), of_right);
        if (product->ending == ACTIVATED) {
            float row[BLOCK], slopes[BLOCK];
            _mm512_storeu_ps(row, left);
            _mm512_storeu_ps(row + SIDE, right);
            activate_and_derive(row, BLOCK, product->activation, slopes);
            left = _mm512_loadu_ps(row);
            right = _mm512_loadu_ps(row + SIDE);
            write_rounded(product->slopes + at, some, _mm512_loadu_ps(slopes), _mm512_loadu_ps(slopes + SIDE));
        } else if (product->ending == SLOPED) {
            multiply_by(_mm512_maskz_loadu_epi16(some, product->slopes + at), &left, &right);
            add_to(pending->totals, left, right);
        } else if (product->ending == POWERS) {
            const __m512 of_row = _mm512_set1_ps(product->bias[pending->row + r]);
            left = _mm512_add_ps(left, of_row);
            right = _mm512_add_ps(right, of_row);
            raise_two_to(&left, &right);
            add_to(pending->totals, left, right);
        }
        if (product->type == BFLOAT16) {
            write_rounded((uint16_t *)product->made + at, some, left, right);
        } else {
            float *to = (float *)product->made + at;
            write_line(to, some_left, left);
            write_line(to + SIDE, some_right, right);
        }
    }
    pending->next = end;
    if (product->totals && end == pending->rows) {
        float *totals = product->totals + pending->row / BLOCK * product->n + pending->column;
        _mm512_mask_storeu_ps(totals, some_left, _mm512_loadu_ps(pending->totals));
        _mm512_mask_storeu_ps(totals + SIDE, some_right, _mm512_loadu_ps(pending->totals + SIDE));
    }
}

/* A block's slopes, which are read when it is written. */
static inline void fetch_slopes(const TileProduct *product, int64_t row, int64_t column) {
    const uint16_t *from = product->slopes + row * product->stride + column;
    for (int64_t r = 0; r < least(BLOCK, product->m - row); r++)
        _mm_prefetch((const char *)(from + r * product->stride), _MM_HINT_T0);
}

static __attribute__((noinline)) void finish(const TileProduct *product, Pending *pending) {
    if (pending->next < pending->rows) write_rows(product, pending, BLOCK);
}

/* A block, (M, N), written as (N, M). */
static void write_turned(const TileProduct *product, const float *sums, int64_t row, int64_t column) {
    for (int tile = 0; tile < 4; tile++) {
        const int64_t first = row + tile / 2 * SIDE, from = column + tile % 2 * SIDE;
        const __mmask16 some = (__mmask16)first_of(least(SIDE, product->m - first));
        __m512i r[SIDE];
        for (int i = 0; i < SIDE; i++) r[i] = _mm512_loadu_si512(sums + (tile * SIDE + i) * SIDE);
        transpose(r);
        for (int i = 0; i < least(SIDE, product->n - from); i++)
            write_line((float *)product->made + (from + i) * product->stride + first, some, (__m512)r[i]);
    }
}

/* What to fetch while a block is computed: for each step some lines of what is multiplied next, and of its sums. */
typedef struct {
    const char *right, *sums; /* sums: or NULL */
    int64_t lines;            /* of the right matrix */
} Ahead;

/* Two tiles by two, for so many steps of K -> a block's sums, or more of them; some rows of another one are written. */
static inline __attribute__((always_inline)) void multiply(const TileProduct *product, const uint16_t *left,
                                                           const uint16_t *right, int64_t steps, float *sums, int more,
                                                           Ahead ahead, Pending *pending) {
    __asm__ volatile("" ::: "memory"); /* GCC's loads of tiles do not say that they read what was written before */
    const int64_t rows = parts_of(BLOCK, steps);
    const float *at[4] = {sums, sums + SIDE * SIDE, sums + 2 * SIDE * SIDE, sums + 3 * SIDE * SIDE};
    if (more) {
        _tile_loadd(0, at[0], LINE);
        _tile_loadd(1, at[1], LINE);
        _tile_loadd(2, at[2], LINE);
        _tile_loadd(3, at[3], LINE);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (int64_t s = 0; s < steps; s++, left += PAIR, right += PAIR) {
        _tile_loadd(6, right, LINE);
        _tile_stream_loadd(4, left, LINE); /* which does not drive the right one out of the first-level cache */
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, right + TILE, LINE);
        _tile_dpbf16ps(1, 4, 7);
        _tile_stream_loadd(5, left + TILE, LINE);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
        for (int64_t line = 0; line < ahead.lines; line++, ahead.right += LINE) _mm_prefetch(ahead.right, _MM_HINT_T1);
        if (ahead.sums) {
            for (int line = 0; line < 4; line++) _mm_prefetch(ahead.sums + line * LINE, _MM_HINT_T0);
            ahead.sums += 4 * LINE;
        }
        if (pending->next < pending->rows) write_rows(product, pending, rows);
    }
    _tile_stored(0, (void *)at[0], LINE);
    _tile_stored(1, (void *)at[1], LINE);
    _tile_stored(2, (void *)at[2], LINE);
    _tile_stored(3, (void *)at[3], LINE);
}

/* How a product is gone through. */
typedef struct {
    int64_t blocks, panels; /* of M, of N */
    int64_t stretches, stretch; /* of K; values in one, but for the last */
    int64_t tasks_down, tasks_across, strips; /* parts of M and N that go to threads; of N, parts that go together */
    int64_t together, panels_together; /* blocks of a task and panels of a strip, at most */
    int kept;
} Plan;

static Plan plan_of(const TileProduct *product, int threads) {
    Plan plan = {.blocks = parts_of(product->m, BLOCK), .panels = parts_of(product->n, BLOCK)};
    plan.stretches = parts_of(product->k, STRETCH);
    plan.stretch = parts_of(parts_of(product->k, plan.stretches), STEP) * STEP;
    plan.tasks_down = least(plan.blocks, parts_of(parts_of(product->m, ROWS), threads) * threads);
    plan.tasks_across = least(plan.panels, parts_of(threads, plan.tasks_down));
    plan.strips = parts_of(parts_of(plan.panels, plan.tasks_across), COLUMNS / BLOCK);
    plan.together = parts_of(plan.blocks, plan.tasks_down);
    plan.panels_together = parts_of(plan.panels, plan.tasks_across * plan.strips);
    plan.kept = plan.strips > 1 && product->k <= KEPT;
    return plan;
}

/* Where a stretch of K begins. */
static inline int64_t begin_of(const Plan *plan, int64_t stretch, int64_t k) {
    return least(k, stretch * plan->stretch);
}

/* Where a stretch of the right matrix's panel lies: (stretches, panels, steps, 2 tiles). */
static inline int64_t right_at(const Plan *plan, int64_t stretch, int64_t panel, int64_t steps) {
    return stretch * plan->panels * plan->stretch * BLOCK + panel * steps * PAIR;
}

/* One step of K of all the right matrix's panels. */
static void lay_out_right(const TileProduct *product, const Plan *plan, int64_t step, uint16_t *right) {
    const int64_t k = step * STEP, stretch = k / plan->stretch, begin = begin_of(plan, stretch, product->k);
    const int64_t steps = parts_of(begin_of(plan, stretch + 1, product->k) - begin, STEP);
    for (int64_t panel = 0; panel < plan->panels; panel++)
        lay_out(&product->right, 1, panel * BLOCK, product->n, k, product->k,
                right + right_at(plan, stretch, panel, steps) + (k - begin) / STEP * PAIR);
}

/* What a task works on, and in. */
typedef struct {
    const TileProduct *product;
    const Plan *plan;
    const uint16_t *right;
    uint16_t *left;
    float *sums;
    int64_t first, rows; /* blocks of M */
    Pending pending;
} Task;

/* A stretch of K of the task's rows. */
static void lay_out_left(const Task *task, int64_t begin, int64_t end, int64_t steps, uint16_t *left) {
    const TileProduct *product = task->product;
    for (int64_t k = begin; k < end; k += STEP)
        for (int64_t block = 0; block < task->rows; block++)
            lay_out(&product->left, 0, (task->first + block) * BLOCK, product->m, k, product->k,
                    left + (block * steps + (k - begin) / STEP) * PAIR);
}

/* A stretch of K of the task's rows, by a panel: more of its sums, or the last of them. */
static void multiply_panel(Task *task, const uint16_t *left, int64_t stretch, int64_t steps, int64_t panel,
                           float *sums) {
    const TileProduct *product = task->product;
    const Plan *plan = task->plan;
    const int several = plan->stretches > 1, last = stretch == plan->stretches - 1;
    const uint16_t *right = task->right + right_at(plan, stretch, panel, steps);
    const int64_t lines = plan->panels * product->k > NEAR ? parts_of(2 * PAIR / LINE, task->rows) : 0;
    for (int64_t block = 0; block < task->rows; block++) {
        const int64_t row = (task->first + block) * BLOCK, column = panel * BLOCK;
        float *of_block = sums + (several ? block : (panel * task->rows + block) % 2) * SUMS;
        const Ahead ahead = {
            .right = (const char *)(right + steps * PAIR) + block * lines * steps * LINE,
            .sums = several ? (const char *)(of_block + SUMS) : NULL,
            .lines = lines,
        };
        if (last && product->ending == SLOPED) fetch_slopes(product, row, column);
        multiply(product, left + block * steps * PAIR, right, steps, of_block, stretch > 0, ahead, &task->pending);
        if (last && product->turned) write_turned(product, of_block, row, column);
        else if (last)
            task->pending = (Pending){ /* the one before has been written by now */
                .sums = of_block,
                .row = row,
                .column = column,
                .rows = least(BLOCK, product->m - row),
            };
    }
}

/* Task `number`: some rows by some strips of columns. */
static void run_task(Task *task, int64_t number) {
    const Plan *plan = task->plan;
    const int64_t down = number / plan->tasks_across, across = number % plan->tasks_across * plan->strips;
    const int64_t strips = plan->tasks_across * plan->strips, k = task->product->k;
    task->first = plan->blocks * down / plan->tasks_down;
    task->rows = plan->blocks * (down + 1) / plan->tasks_down - task->first;
    for (int64_t strip = across; strip < across + plan->strips; strip++)
        for (int64_t stretch = 0; stretch < plan->stretches; stretch++) {
            const int64_t begin = begin_of(plan, stretch, k), end = begin_of(plan, stretch + 1, k);
            const int64_t steps = parts_of(end - begin, STEP);
            uint16_t *left = task->left + (plan->kept ? stretch * plan->together * plan->stretch * BLOCK : 0);
            if (!plan->kept || strip == across) lay_out_left(task, begin, end, steps, left);
            const int64_t from = plan->panels * strip / strips, to = plan->panels * (strip + 1) / strips;
            for (int64_t panel = from; panel < to; panel++) {
                float *sums = task->sums + (plan->stretches > 1 ? (panel - from) * plan->together * SUMS : 0);
                multiply_panel(task, left, stretch, steps, panel, sums);
            }
            finish(task->product, &task->pending); /* before others take the sums' place */
        }
}

/* Asks the system for tiles, once for all threads; 0 if they may be used. */
int permit_tiles(void) { return syscall(SYS_arch_prctl, 0x1023, 18) != 0; }

/* Of all eight tiles, as the processor reads it. */
static const struct {
    uint8_t palette, start, none[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} SHAPE = {.palette = 1, .bytes = {64, 64, 64, 64, 64, 64, 64, 64}, .rows = {16, 16, 16, 16, 16, 16, 16, 16}};

/* The product, which is there when this returns. */
int multiply_in_tiles(const TileProduct *product, int threads) {
    const Plan plan = plan_of(product, threads);
    const int64_t steps = parts_of(product->k, STEP), stretches = plan.kept ? plan.stretches : 1;
    const int64_t of_right = plan.stretches * plan.panels * plan.stretch * BLOCK;
    const int64_t of_left = plan.together * stretches * plan.stretch * BLOCK;
    const int64_t of_sums = (plan.stretches > 1 ? plan.together * plan.panels_together : 2) * SUMS;
    void *memory = NULL;
    if (posix_memalign(&memory, 4096, (size_t)((of_right + threads * of_left) * 2 + threads * of_sums * 4)))
        return NO_MEMORY;
    uint16_t *right = memory, *left = right + of_right;
    float *sums = (float *)(left + threads * of_left);
#pragma omp parallel num_threads(threads)
    {
        _tile_loadconfig(&SHAPE);
        Task task = {.product = product, .plan = &plan, .right = right};
        task.left = left + omp_get_thread_num() * of_left;
        task.sums = sums + omp_get_thread_num() * of_sums;
#pragma omp for schedule(dynamic)
        for (int64_t step = 0; step < steps; step++) lay_out_right(product, &plan, step, right);
#pragma omp for schedule(dynamic)
        for (int64_t number = 0; number < plan.tasks_down * plan.tasks_across; number++) run_task(&task, number);
        _mm_sfence(); /* what went past the caches is there for all */
        _tile_release();
    }
    free(memory);
    return DONE;
}

/* For who calls to see whether both mean the same: the edition, a block's side, bytes of the structures. */
const int64_t layout[] = {EDITION, BLOCK, sizeof(Matrix), sizeof(TileProduct)};
