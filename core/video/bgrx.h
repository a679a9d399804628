/* Screens (B, G, R and a byte that means nothing, each pixel) to YUV 4:2:0: BT.709, limited range (ITU-T H.273).
 *
 *     Y  =  16 + 219 (0.2126 R + 0.7152 G + 0.0722 B) / 255
 *     Cb = 128 + 224 (B - y) / (2 (1 - 0.0722)) / 255         y: the bracket above
 *     Cr = 128 + 224 (R - y) / (2 (1 - 0.2126)) / 255
 *
 * Chroma is that of the mean of 2 x 2 pixels. Two lines at a time, so that each pixel is read from memory once. The
 * vector and the plain version give the same samples; what a compiler makes of the plain one takes twice as long.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#endif

/* Factors times 2^15: the largest for which all fit in 16 bits. Those of chroma sum to 0: grey stays grey. */
enum {
    LUMA_B = 2032, LUMA_G = 20127, LUMA_R = 5983,
    CB_B = 14392, CB_G = -11094, CB_R = -3298,
    CR_B = -1320, CR_G = -13072, CR_R = 14392,
    LUMA_SHIFT = 15, LUMA_BASE = (16 << LUMA_SHIFT) + (1 << (LUMA_SHIFT - 1)),            /* the half rounds */
    CHROMA_SHIFT = 15 + 2, CHROMA_BASE = (128 << CHROMA_SHIFT) + (1 << (CHROMA_SHIFT - 1)) /* the sum of four pixels */
};

/* Two lines of pixels and where their samples go. */
typedef struct {
    const uint8_t *pixels[2];
    uint8_t *luma[2], *cb, *cr;
} BGRXLines;

/* From pixel `x` (even) to the end of the lines. */
static void bgrx_lines(const BGRXLines *lines, int x, int width) {
    for (; x < width; x += 2) {
        int b = 0, g = 0, r = 0;
        for (int line = 0; line < 2; line++) {
            for (int column = x; column < x + 2; column++) {
                const uint8_t *pixel = lines->pixels[line] + 4 * (size_t)column;
                int luma = pixel[0] * LUMA_B + pixel[1] * LUMA_G + pixel[2] * LUMA_R + LUMA_BASE;
                lines->luma[line][column] = (uint8_t)(luma >> LUMA_SHIFT);
                b += pixel[0], g += pixel[1], r += pixel[2];
            }
        }
        lines->cb[x / 2] = (uint8_t)((b * CB_B + g * CB_G + r * CB_R + CHROMA_BASE) >> CHROMA_SHIFT);
        lines->cr[x / 2] = (uint8_t)((b * CR_B + g * CR_G + r * CR_R + CHROMA_BASE) >> CHROMA_SHIFT);
    }
}

#if defined(__x86_64__) && defined(__GNUC__)

#define AVX2 static inline __attribute__((target("avx2"), always_inline))

typedef struct {
    __m256i br, g; /* factors of the 16-bit pairs (B, R) and (G, X), once for each pixel */
} BGRXFactors;

AVX2 BGRXFactors bgrx_factors(int b, int g, int r) {
    return (BGRXFactors){_mm256_set1_epi32((int)((uint32_t)r << 16 | (uint16_t)b)), _mm256_set1_epi32((uint16_t)g)};
}

/* Eight weighted sums of 32 bits. */
AVX2 __m256i bgrx_weigh(__m256i br, __m256i g, BGRXFactors factors, int base, int shift) {
    __m256i sum = _mm256_add_epi32(_mm256_madd_epi16(br, factors.br), _mm256_madd_epi16(g, factors.g));
    return _mm256_srli_epi32(_mm256_add_epi32(sum, _mm256_set1_epi32(base)), shift);
}

/* Of each pair of neighbours in `a` and `b`, which are pixels as two 16-bit numbers, the sum. In each half of the
 * result two of `a` stand before two of `b`, as in all that AVX2 packs. */
AVX2 __m256i bgrx_pairs(__m256i a, __m256i b) {
    __m256 first = _mm256_castsi256_ps(a), second = _mm256_castsi256_ps(b);
    __m256 even = _mm256_shuffle_ps(first, second, 0x88), odd = _mm256_shuffle_ps(first, second, 0xdd);
    return _mm256_add_epi16(_mm256_castps_si256(even), _mm256_castps_si256(odd));
}

/* 32 pixels of both lines at a time; returns where it stops. */
static __attribute__((target("avx2"))) int bgrx_lines_avx2(const BGRXLines *lines, int width) {
    const BGRXFactors luma = bgrx_factors(LUMA_B, LUMA_G, LUMA_R);
    const BGRXFactors cb = bgrx_factors(CB_B, CB_G, CB_R), cr = bgrx_factors(CR_B, CR_G, CR_R);
    const __m256i byte = _mm256_set1_epi32(0x00ff00ff), in_order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    int x = 0;
    for (; x + 32 <= width; x += 32) {
        __m256i sums_br[4], sums_g[4], chroma[2][2];
        for (int line = 0; line < 2; line++) {
            __m256i samples[4];
            for (int i = 0; i < 4; i++) {
                const void *pixels = lines->pixels[line] + 4 * (size_t)(x + 8 * i);
                __m256i eight = _mm256_loadu_si256((const __m256i *)pixels);
                __m256i br = _mm256_and_si256(eight, byte), g = _mm256_srli_epi16(eight, 8);
                samples[i] = bgrx_weigh(br, g, luma, LUMA_BASE, LUMA_SHIFT);
                sums_br[i] = line ? _mm256_add_epi16(sums_br[i], br) : br;
                sums_g[i] = line ? _mm256_add_epi16(sums_g[i], g) : g;
            }
            __m256i packed = _mm256_packus_epi16(
                _mm256_packs_epi32(samples[0], samples[1]), _mm256_packs_epi32(samples[2], samples[3]));
            packed = _mm256_permutevar8x32_epi32(packed, in_order);
            _mm256_storeu_si256((__m256i *)(lines->luma[line] + x), packed);
        }
        for (int i = 0; i < 2; i++) {
            __m256i br = bgrx_pairs(sums_br[2 * i], sums_br[2 * i + 1]);
            __m256i g = bgrx_pairs(sums_g[2 * i], sums_g[2 * i + 1]);
            chroma[0][i] = bgrx_weigh(br, g, cb, CHROMA_BASE, CHROMA_SHIFT);
            chroma[1][i] = bgrx_weigh(br, g, cr, CHROMA_BASE, CHROMA_SHIFT);
        }
        /* In each half eight Cb and eight Cr, two by two: the other half has the two in between. */
        __m256i packed = _mm256_packus_epi16(
            _mm256_packs_epi32(chroma[0][0], chroma[0][1]), _mm256_packs_epi32(chroma[1][0], chroma[1][1]));
        __m128i low = _mm256_castsi256_si128(packed), high = _mm256_extracti128_si256(packed, 1);
        _mm_storeu_si128((__m128i *)(lines->cb + x / 2), _mm_unpacklo_epi16(low, high));
        _mm_storeu_si128((__m128i *)(lines->cr + x / 2), _mm_unpackhi_epi16(low, high));
    }
    return x;
}

static int bgrx_has_avx2(void) { return __builtin_cpu_supports("avx2"); }

#else

static int bgrx_lines_avx2(const BGRXLines *lines, int width) { (void)lines, (void)width; return 0; }
static int bgrx_has_avx2(void) { return 0; }

#endif
