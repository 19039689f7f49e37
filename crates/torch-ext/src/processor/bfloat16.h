// The upper half of a float32, for the kernels: arithmetic is done in float32.
#pragma once

#include <cstdint>
#include <cstring>

struct BFloat16 {
  uint16_t bits;

  BFloat16() = default;

  // Rounds to the nearest, ties to even.
  BFloat16(float value) {
    uint32_t whole;
    std::memcpy(&whole, &value, sizeof whole);
    const uint32_t rounded = (whole + 0x7fff + (whole >> 16 & 1)) >> 16;
    // Rounding would carry a NaN's low bits into infinity.
    bits = value == value ? uint16_t(rounded) : uint16_t(0x7fc0);
  }

  operator float() const {
    const uint32_t whole = uint32_t(bits) << 16;
    float value;
    std::memcpy(&value, &whole, sizeof value);
    return value;
  }
};
