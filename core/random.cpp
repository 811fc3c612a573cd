#include "core/random.h"

#include <immintrin.h>

namespace lowvar {

// Four counters beside each other, a word of each in 64 bits: their upper halves hold what is left of
// products, which the next multiplication does not read.
void Rng::draw_blocks(std::uint32_t index, const std::uint32_t* episode, const std::uint32_t* step, int n,
                      Block* out) const {
  const auto lanes = [](std::uint32_t x) { return _mm256_set1_epi64x(x); };
  const auto load = [](const std::uint32_t* x) {
    return _mm256_cvtepu32_epi64(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x)));
  };
  int i = 0;
  for (; i + 4 <= n; i += 4) {
    __m256i c0 = lanes(0), c1 = load(step + i), c2 = load(episode + i);
    __m256i c3 =
        _mm256_add_epi64(lanes(index + static_cast<std::uint32_t>(i)), _mm256_setr_epi64x(0, 1, 2, 3));
    std::uint32_t k0 = key_[0], k1 = key_[1];
    for (int round = 0; round < 10; ++round, k0 += PHILOX_W32_0, k1 += PHILOX_W32_1) {
      const __m256i p0 = _mm256_mul_epu32(c0, lanes(PHILOX_M4x32_0));
      const __m256i p1 = _mm256_mul_epu32(c2, lanes(PHILOX_M4x32_1));
      c0 = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(p1, 32), c1), lanes(k0));
      c2 = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(p0, 32), c3), lanes(k1));
      c1 = p1;
      c3 = p0;
    }
    const __m256i low = _mm256_blend_epi32(c0, _mm256_slli_epi64(c1, 32), 0xaa);
    const __m256i high = _mm256_blend_epi32(c2, _mm256_slli_epi64(c3, 32), 0xaa);
    const __m256i even = _mm256_unpacklo_epi64(low, high), odd = _mm256_unpackhi_epi64(low, high);
    const auto store = [&](int lane, __m128i block) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out[i + lane].data()), block);
    };
    store(0, _mm256_castsi256_si128(even));
    store(1, _mm256_castsi256_si128(odd));
    store(2, _mm256_extracti128_si256(even, 1));
    store(3, _mm256_extracti128_si256(odd, 1));
  }
  for (; i < n; ++i)
    out[i] = r123::Philox4x32()({{0, step[i], episode[i], index + static_cast<std::uint32_t>(i)}}, key_);
}

}  // namespace lowvar
