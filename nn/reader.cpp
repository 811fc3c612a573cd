#include "nn/reader.h"

#include "nn/mlp.h"

namespace lowvar {

std::vector<std::string> Reader::names() const {
  if (cell == Cell::gru) return {"E", "gru.W", "gru.b", "gru.U", "gru.c", "W", "b"};
  return {"E", "P", "attention.Q", "attention.q", "attention.U", "attention.c", "W", "b"};
}

std::vector<Shape> Reader::shapes() const {
  std::vector<Shape> out = {{tokens + 1, width}};
  if (cell == Cell::attention) out.push_back({longest, width});
  out.insert(out.end(), {{width, 3 * width}, {1, 3 * width}});
  out.insert(out.end(), cell == Cell::gru ? std::initializer_list<Shape>{{width, 3 * width}, {1, 3 * width}}
                                          : std::initializer_list<Shape>{{width, width}, {1, width}});
  out.insert(out.end(), {{width, outputs}, {1, outputs}});
  return out;
}

std::vector<Array<double>> initialise(const Reader& reader, Rng& rng) {
  std::vector<Array<double>> theta;
  const bool gru = reader.cell == Reader::Cell::gru;
  for (const int rows :
       gru ? std::vector{reader.tokens + 1} : std::vector{reader.tokens + 1, reader.longest}) {
    theta.push_back(zeros<double>(rows, reader.width));
    for (double& each : values(theta.back())) each = rng.normal();
  }
  const auto cell = gru ? initialise(Gru{reader.width, reader.width}, rng)
                        : initialise(MultiHeadAttention{reader.width, 1}, rng);
  theta.insert(theta.end(), cell.begin(), cell.end());
  theta.push_back(orthogonal(reader.width, reader.outputs, reader.output_gain, rng));
  theta.push_back(zeros<double>(1, reader.outputs));
  return theta;
}

}  // namespace lowvar
