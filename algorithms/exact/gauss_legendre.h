// Gauss and Legendre's quadrature.
#pragma once

#include <array>
#include <cmath>
#include <numbers>
#include <utility>

namespace lowvar {

struct QuadratureNode {
  double x, weight;
};

/// The rule of 20 nodes on [-1, 1], exact for polynomials of degree 39: zeros of the Legendre polynomial by
/// Newton's method.
inline const std::array<QuadratureNode, 20>& gauss_legendre() {
  static const std::array<QuadratureNode, 20> nodes = [] {
    std::array<QuadratureNode, 20> out;
    constexpr int n = 20;
    for (int i = 0; i < n; ++i) {
      double x = std::cos(std::numbers::pi * (i + 0.75) / (n + 0.5)), slope = 1;
      for (int newton = 0; newton < 100; ++newton) {
        double p = 1, before = 0;
        for (int k = 1; k <= n; ++k) before = std::exchange(p, ((2 * k - 1) * x * p - (k - 1) * before) / k);
        slope = n * (x * p - before) / (x * x - 1);
        const double step = p / slope;
        x -= step;
        if (std::abs(step) < 1e-15) break;
      }
      out[static_cast<std::size_t>(i)] = {x, 2 / ((1 - x * x) * slope * slope)};
    }
    return out;
  }();
  return nodes;
}

}  // namespace lowvar
