#include "nn/cnn.h"

#include <cmath>

namespace lowvar {

Window Cnn::window(std::size_t l) const {
  ImageShape seen = image;
  for (std::size_t k = 0;; ++k) {
    const Window w{
        .image = seen, .height = filters[k].size, .width = filters[k].size, .stride = filters[k].stride};
    if (k == l) return w;
    seen = w.result(filters[k].filters);
  }
}

ImageShape Cnn::flattened() const {
  return filters.empty() ? image : window(filters.size() - 1).result(filters.back().filters);
}

std::vector<std::string> Cnn::names() const {
  std::vector<std::string> out;
  for (std::size_t l = 0; l < filters.size(); ++l) {
    out.push_back(join("C", l));
    out.push_back(join("c", l));
  }
  for (auto& each : mlp.names()) out.push_back(std::move(each));
  return out;
}

std::vector<Shape> Cnn::shapes() const {
  std::vector<Shape> out;
  for (std::size_t l = 0; l < filters.size(); ++l)
    out.insert(out.end(), {{window(l).size(), filters[l].filters}, {1, filters[l].filters}});
  for (const Shape& each : mlp.shapes()) out.push_back(each);
  return out;
}

void check(const Cnn& cnn) {
  ImageShape seen = cnn.image;
  double weights = 0;
  for (std::size_t l = 0; l < cnn.filters.size(); ++l) {
    const auto [filters, size, stride] = cnn.filters[l];
    expect(filters >= 1 && size >= 1 && stride >= 1,
           "a layer of convolutions is how many filters, their size and their stride, each at least 1; got ",
           filters, ", ", size, ", ", stride);
    expect(size <= seen.height && size <= seen.width, "filters of ", size, "x", size,
           " do not fit the image ", seen, " that layer ", l + 1, " of the convolutions looks at");
    weights += 1.0 * size * size * seen.channels * filters;
    expect(weights < 1e7, "convolutions must have fewer than 1e7 weights between them, got ", weights);
    seen = cnn.window(l).result(filters);
  }
}

std::vector<Array<double>> initialise(const Cnn& cnn, Rng& rng) {
  std::vector<Array<double>> theta;
  for (std::size_t l = 0; l < cnn.filters.size(); ++l) {
    theta.push_back(orthogonal(cnn.window(l).size(), cnn.filters[l].filters, cnn.mlp.hidden_gain, rng));
    theta.push_back(zeros<double>(1, cnn.filters[l].filters));
  }
  for (auto& each : initialise(cnn.mlp, rng)) theta.push_back(std::move(each));
  return theta;
}

std::vector<Array<double>> initialise_uniform(const Cnn& cnn, Rng& rng) {
  return uniform_arrays(cnn.shapes(), rng);
}

}  // namespace lowvar
