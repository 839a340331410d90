/* softmax(Q K^T / sqrt(H)) V of one head over one sequence.

Letters: t tokens of the sequence, p of which ask, H head width, tp and Hp the same filled up to whole panels. */

#pragma once

#include "product.h"

static inline int64_t filled(int64_t count) { return panels_of(count) * PANEL; }

/* Floats that `attend` works in. */
static inline int64_t attention_space(int64_t t, int64_t width) {
    return filled(t) * width + t * filled(width) + ROWS * width + ROWS * filled(t);
}

/* Keys, as rows of `stride`, -> panels of (H, PANEL tokens). */
static void pack_keys(const float *keys, int64_t stride, int64_t t, int64_t width, float *panels) {
    for (int64_t first = 0; first < t; first += PANEL, panels += width * PANEL)
        for (int64_t c = 0; c < width; c++)
            for (int64_t x = 0; x < PANEL; x++)
                panels[c * PANEL + x] = first + x < t ? keys[(first + x) * stride + c] : 0.0f;
}

/* Values, as rows of `stride`, -> panels of (t, PANEL columns). */
static void pack_values(const float *values, int64_t stride, int64_t t, int64_t width, float *panels) {
    for (int64_t first = 0; first < width; first += PANEL)
        for (int64_t x = 0; x < t; x++, panels += PANEL)
            for (int64_t c = 0; c < PANEL; c++)
                panels[c] = first + c < width ? values[x * stride + first + c] : 0.0f;
}

/* (p, H) by panels of (I, PANEL) -> (p, `width`) */
static void to_rows(const float *from, int64_t rows, int64_t stride, int64_t inputs, const float *panels,
                    int64_t width, float *to, int64_t to_stride, const float *scale) {
    for (int64_t first = 0; first < width; first += PANEL, panels += inputs * PANEL) {
        float tile[ROWS * PANEL];
        const int64_t columns = width - first < PANEL ? width - first : PANEL;
        MULTIPLY[rows](from, stride, inputs, panels, tile);
        for (int64_t r = 0; r < rows; r++)
            for (int64_t c = 0; c < columns; c++) to[r * to_stride + first + c] = tile[r * PANEL + c] * scale[r];
    }
}

typedef struct {
    const float *queries, *keys, *values; /* of this head: (p, H), (t, H), (t, H) */
    int64_t query_stride, stride, p, t, width;
} Head;

/* -> (p, H) in rows of `to_stride`. */
static void attend(Head head, float *space, float *to, int64_t to_stride) {
    const int64_t t = head.t, width = head.width, blocks = parts_of(head.p, ROWS);
    float *keys = space, *values = keys + filled(t) * width, *queries = values + t * filled(width);
    float *scores = queries + ROWS * width;
    const float scale = LOG2_E / sqrtf((float)width);
    float ones[ROWS];
    for (int r = 0; r < ROWS; r++) ones[r] = 1.0f;
    pack_keys(head.keys, head.stride, t, width, keys);
    pack_values(head.values, head.stride, t, width, values);
    for (int64_t block = 0; block < blocks; block++) {
        const int64_t first = part(head.p, blocks, block), rows = part(head.p, blocks, block + 1) - first;
        float shares[ROWS];
        for (int64_t r = 0; r < rows; r++)
            for (int64_t c = 0; c < width; c++)
                queries[r * width + c] = head.queries[(first + r) * head.query_stride + c] * scale;
        to_rows(queries, rows, width, width, keys, t, scores, filled(t), ones);
        for (int64_t r = 0; r < rows; r++) shares[r] = 1.0f / powers(scores + r * filled(t), t, 1.0f);
        to_rows(scores, rows, filled(t), t, values, width, to + first * to_stride, to_stride, shares);
    }
}
