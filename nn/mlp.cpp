#include "nn/mlp.h"

#include <algorithm>
#include <cmath>

namespace lowvar {

std::vector<std::string> Mlp::names() const {
  std::vector<std::string> out;
  for (int l = 0; l < layers(); ++l) {
    out.push_back(join("W", l));
    out.push_back(join("b", l));
  }
  return out;
}

std::vector<Shape> Mlp::shapes() const {
  std::vector<Shape> out;
  for (std::size_t l = 0; l + 1 < sizes.size(); ++l)
    out.insert(out.end(), {{sizes[l], sizes[l + 1]}, {1, sizes[l + 1]}});
  return out;
}

Array<double> orthogonal(int rows, int cols, double gain, Rng& rng) {
  const int vectors = std::min(rows, cols), length = std::max(rows, cols);
  Array<double> q = zeros<double>(vectors, length);
  for (double& v : values(q)) v = rng.normal();
  for (int i = 0; i < vectors; ++i) {
    for (int pass = 0; pass < 2; ++pass)  // twice is enough for full precision
      for (int j = 0; j < i; ++j) {
        double along = 0;
        for (int k = 0; k < length; ++k) along += q(i, k) * q(j, k);
        for (int k = 0; k < length; ++k) q(i, k) -= along * q(j, k);
      }
    double norm = 0;
    for (int k = 0; k < length; ++k) norm += q(i, k) * q(i, k);
    norm = std::sqrt(norm);
    for (int k = 0; k < length; ++k) q(i, k) /= norm;
  }
  Array<double> out = zeros<double>(rows, cols);
  for (int r = 0; r < rows; ++r)
    for (int c = 0; c < cols; ++c) out(r, c) = gain * (rows <= cols ? q(r, c) : q(c, r));
  return out;
}

std::vector<Array<double>> initialise(const Mlp& mlp, Rng& rng) {
  std::vector<Array<double>> theta;
  for (int l = 0; l < mlp.layers(); ++l) {
    const int in = mlp.sizes[static_cast<std::size_t>(l)], out = mlp.sizes[static_cast<std::size_t>(l) + 1];
    theta.push_back(orthogonal(in, out, l + 1 < mlp.layers() ? mlp.hidden_gain : mlp.output_gain, rng));
    theta.push_back(zeros<double>(1, out));
  }
  return theta;
}

std::vector<Array<double>> uniform_arrays(const std::vector<Shape>& shapes, Rng& rng) {
  std::vector<Array<double>> theta;
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    const double bound = 1 / std::sqrt(shapes[i - i % 2].rows);
    theta.push_back(zeros<double>(shapes[i].rows, shapes[i].cols));
    for (double& each : values(theta.back())) each = rng.uniform(-bound, bound);
  }
  return theta;
}

std::vector<Array<double>> initialise_uniform(const Mlp& mlp, Rng& rng) {
  return uniform_arrays(mlp.shapes(), rng);
}

}  // namespace lowvar
