// Parity with LibTorch: every listed operation, forward and backward, and the gradient of a policy.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <functional>
#include <map>
#include <string>

#include "autograd/autograd.h"
#include "autograd/op_list.h"
#include "nn/distributions.h"
#include "nn/layers.h"
#include "nn/mlp.h"

namespace lowvar {
namespace {

using torch::Tensor;

template <class T>
constexpr auto dtype = sizeof(T) == 8 ? torch::kFloat64 : torch::kFloat32;

template <class T>
Tensor tensor(const Array<T>& a) {
  const Shape s = shape(a);
  return torch::from_blob(const_cast<T*>(a.data()), {s.rows, s.cols}, dtype<T>).clone();
}

Tensor tensor(std::span<const int> index) {
  const std::vector<std::int64_t> wide(index.begin(), index.end());
  return torch::tensor(wide, torch::kInt64);
}

template <class T>
std::vector<double> numbers(const Array<T>& a) {
  return {a.begin(), a.end()};
}

std::vector<double> numbers(const Tensor& t) {
  const Tensor flat = t.detach().to(torch::kFloat64).contiguous();
  return {flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel()};
}

/// |a - b| / |b|, in the Euclidean norm.
double distance(const std::vector<double>& a, const std::vector<double>& b) {
  EXPECT_EQ(a.size(), b.size());
  double off = 0, size = 0;
  for (std::size_t i = 0; i < b.size(); ++i) off += (a[i] - b[i]) * (a[i] - b[i]), size += b[i] * b[i];
  return off == 0 ? 0 : std::sqrt(off / size);
}

Tensor regular(const Tensor& A) { return A + 6 * torch::eye(A.size(0), torch::kFloat64); }

/// Rows of x in batches, [B x n x C]; rows that are images as [n x C x H x W], and back; filters.
Tensor batched(const Tensor& x, std::int64_t batches) { return x.reshape({batches, -1, x.size(1)}); }
Tensor images(const Tensor& x, std::int64_t height, std::int64_t width) {
  return x.reshape({x.size(0), height, width, -1}).permute({0, 3, 1, 2});
}
Tensor rows(const Tensor& images) { return images.permute({0, 2, 3, 1}).reshape({images.size(0), -1}); }
Tensor filters(const Tensor& W, std::int64_t height, std::int64_t width) {
  return W.reshape({height, width, -1, W.size(1)}).permute({3, 2, 0, 1});
}
/// The window that the list moves over images of 4x5x2, 3x2 by 2 with a padding of 1.
Tensor convolved(const Tensor& x, const Tensor& W, const Tensor& b = {}) {
  return rows(torch::conv2d(images(x, 4, 5), filters(W, 3, 2), b, 2, 1));
}
Tensor pooled(const Tensor& x) {
  return rows(torch::avg_pool2d(images(x, 4, 5), {3, 2}, 2, 1, false, true, 1));
}
/// The adjoint of a linear f, whose operand is of this shape, applied to g; differentiable in g and whatever
/// f holds.
Tensor adjoint(const std::function<Tensor(Tensor)>& f, Shape shape, const Tensor& g) {
  const Tensor x = torch::zeros({shape.rows, shape.cols}, torch::kFloat64).requires_grad_();
  return torch::autograd::grad({f(x)}, {x}, {g}, true, true).front();
}
// Of the examples of the list.
Tensor columns() { return torch::tensor({1, 1, 0, 2, 1}, torch::kInt64); }
Tensor segments() {
  return torch::tensor({{1.0, 1.0, 0.0}, {0.0, 0.0, 0.0}, {0.0, 0.0, 1.0}}, torch::kFloat64);
}
Tensor rows_picked() { return torch::tensor({{1, 0}, {2, 2}}, torch::kInt64); }

/// The same operation there: of the operands, the shape of the result and the index of the node.
using Peer = std::function<Tensor(const std::vector<Tensor>&, Shape, const Tensor& index)>;
using X = const std::vector<Tensor>&;

const std::map<std::string, Peer>& peers() {
  static const std::map<std::string, Peer> all = {
      {"negate", [](X x, Shape, const Tensor&) { return -x[0]; }},
      {"exp", [](X x, Shape, const Tensor&) { return x[0].exp(); }},
      {"log", [](X x, Shape, const Tensor&) { return x[0].log(); }},
      {"sqrt", [](X x, Shape, const Tensor&) { return x[0].sqrt(); }},
      {"square", [](X x, Shape, const Tensor&) { return x[0].square(); }},
      {"times_slope_of_tanh", [](X x, Shape, const Tensor&) { return x[0] * (1 - x[1].square()); }},
      {"tanh", [](X x, Shape, const Tensor&) { return x[0].tanh(); }},
      {"relu", [](X x, Shape, const Tensor&) { return x[0].relu(); }},
      {"log1p", [](X x, Shape, const Tensor&) { return x[0].log1p(); }},
      {"expm1", [](X x, Shape, const Tensor&) { return x[0].expm1(); }},
      {"sigmoid", [](X x, Shape, const Tensor&) { return x[0].sigmoid(); }},
      {"softplus", [](X x, Shape, const Tensor&) { return torch::softplus(x[0], 1, 700); }},
      {"less", [](X x, Shape, const Tensor&) { return (x[0] < x[1]).to(x[0].dtype()); }},
      {"greater_equal", [](X x, Shape, const Tensor&) { return (x[0] >= x[1]).to(x[0].dtype()); }},
      {"equal", [](X x, Shape, const Tensor&) { return (x[0] == x[1]).to(x[0].dtype()); }},
      {"floor", [](X x, Shape, const Tensor&) { return x[0].floor(); }},
      {"log_softmax", [](X x, Shape, const Tensor&) { return x[0].log_softmax(1); }},
      {"logsumexp", [](X x, Shape, const Tensor&) { return x[0].logsumexp(1, true); }},
      // the list adds 6 I to the matrices of linear systems
      {"solve", [](X x, Shape, const Tensor&) { return torch::linalg_solve(regular(x[0]), x[1], true); }},
      {"solve_transposed",
       [](X x, Shape, const Tensor&) { return torch::linalg_solve(regular(x[0]).t(), x[1], true); }},
      {"log_det",
       [](X x, Shape, const Tensor&) {
         return std::get<1>(torch::linalg_slogdet(regular(x[0]))).view({1, 1});
       }},
      {"batched_matmul",
       [](X x, Shape, const Tensor&) {
         return batched(x[0], 2).bmm(batched(x[1], 2)).flatten(0, 1);
       }},
      {"batched_matmul_tn",
       [](X x, Shape, const Tensor&) {
         return batched(x[0], 2).transpose(1, 2).bmm(batched(x[1], 2)).flatten(0, 1);
       }},
      {"batched_matmul_nt",
       [](X x, Shape, const Tensor&) {
         return batched(x[0], 2).bmm(batched(x[1], 2).transpose(1, 2)).flatten(0, 1);
       }},
      {"triangular_solve",
       [](X x, Shape, const Tensor&) { return torch::linalg_solve_triangular(regular(x[0]), x[1], false); }},
      {"triangular_solve_transposed",
       [](X x, Shape, const Tensor&) { return torch::linalg_solve_triangular(regular(x[0]).t(), x[1], true); }},
      {"triangular_solve upper",
       [](X x, Shape, const Tensor&) { return torch::linalg_solve_triangular(regular(x[0]), x[1], true); }},
      {"triangular_solve_transposed upper",
       [](X x, Shape, const Tensor&) { return torch::linalg_solve_triangular(regular(x[0]).t(), x[1], false); }},
      {"cholesky", [](X x, Shape, const Tensor&) { return torch::linalg_cholesky(regular(x[0].matmul(x[0].t()))); }},
      {"eigh",
       [](X x, Shape, const Tensor&) {
         const Tensor apart = torch::diag(3.1 * torch::arange(x[0].size(0), torch::kFloat64));
         const auto [l, V] = torch::linalg_eigh(0.25 * (x[0] + x[0].t()) + apart);
         const Tensor sign = V.gather(0, V.abs().argmax(0, true)).sign().detach();
         return torch::cat({l.unsqueeze(0), V * sign});
       }},
      {"tril", [](X x, Shape, const Tensor&) { return x[0].tril(x[0].size(1) - x[0].size(0)); }},
      {"triu", [](X x, Shape, const Tensor&) { return x[0].triu(x[0].size(1) - x[0].size(0)); }},
      {"conv2d",
       [](X x, Shape, const Tensor&) {
         return x.size() == 3 ? convolved(x[0], x[1], x[2].flatten())
                              : rows(torch::conv2d(images(x[0], 3, 3), filters(x[1], 2, 2)));
       }},
      {"conv2d_transpose",
       [](X x, Shape, const Tensor&) {
         return rows(torch::conv_transpose2d(images(x[0], 2, 3), filters(x[1], 3, 2), {}, 2, 1, 1));
       }},
      {"conv2d_weights",
       [](X x, Shape s, const Tensor&) {
         return adjoint([&](Tensor W) { return convolved(x[0], W); }, s, x[1]);
       }},
      {"max_pool2d",
       [](X x, Shape, const Tensor&) {
         return rows(torch::max_pool2d(images(x[0], 4, 5), {3, 2}, 2, 1));
       }},
      {"sum_pool2d", [](X x, Shape, const Tensor&) { return pooled(x[0]); }},
      {"spread_pool2d", [](X x, Shape s, const Tensor&) { return adjoint(pooled, s, x[0]); }},
      {"transpose", [](X x, Shape, const Tensor&) { return x[0].t(); }},
      {"block", [](X x, Shape s, const Tensor&) { return x[0].narrow(0, 1, s.rows).narrow(1, 1, s.cols); }},
      {"pad",
       [](X x, Shape, const Tensor&) {
         return torch::constant_pad_nd(x[0], {1, 0, 1, 0});
       }},
      // a product with the matrix of discounts, for the groups and the factor of the list
      {"discounted_sum",
       [](X x, Shape, const Tensor&) {
         return torch::tensor({{1.0, 0.75, 0.0}, {0.0, 1.0, 0.0}, {0.0, 0.0, 1.0}}, torch::kFloat64)
             .matmul(x[0]);
       }},
      {"discounted_sum_forward",
       [](X x, Shape, const Tensor&) {
         return torch::tensor({{1.0, 0.0, 0.0}, {0.75, 1.0, 0.0}, {0.0, 0.0, 1.0}}, torch::kFloat64)
             .matmul(x[0]);
       }},
      {"reshape",
       [](X x, Shape s, const Tensor&) {
         return x[0].reshape({s.rows, s.cols});
       }},
      {"gather_columns", [](X x, Shape, const Tensor&) { return x[0].index_select(1, columns()); }},
      {"scatter_add_columns",
       [](X x, Shape s, const Tensor&) {
         return torch::zeros({s.rows, s.cols}, x[0].dtype()).index_add(1, columns(), x[0]);
       }},
      {"cumulative_sum", [](X x, Shape, const Tensor&) { return x[0].cumsum(1); }},
      {"reverse_cumulative_sum", [](X x, Shape, const Tensor&) { return x[0].flip(1).cumsum(1).flip(1); }},
      // products with the matrix of which row is in which segment, for the groups of the list
      {"segment_sum", [](X x, Shape, const Tensor&) { return segments().matmul(x[0]); }},
      {"spread", [](X x, Shape, const Tensor&) { return segments().t().matmul(x[0]); }},
      {"segment_pick", [](X x, Shape, const Tensor&) { return x[0].gather(0, rows_picked()); }},
      {"segment_place",
       [](X x, Shape s, const Tensor&) {
         return torch::zeros({s.rows, s.cols}, x[0].dtype()).scatter_add(0, rows_picked(), x[0]);
       }},
      {"sin", [](X x, Shape, const Tensor&) { return x[0].sin(); }},
      {"cos", [](X x, Shape, const Tensor&) { return x[0].cos(); }},
      {"atan", [](X x, Shape, const Tensor&) { return x[0].atan(); }},
      {"abs", [](X x, Shape, const Tensor&) { return x[0].abs(); }},
      {"elu", [](X x, Shape, const Tensor&) { return torch::elu(x[0]); }},
      {"pow", [](X x, Shape, const Tensor&) { return x[0].pow(x[1]); }},
      {"exp_times", [](X x, Shape, const Tensor&) { return x[0].exp() * x[1]; }},
      {"huber",
       [](X x, Shape, const Tensor&) {  // its own takes one delta for all
         const Tensor a = x[0].abs();
         return torch::where(a <= x[1], x[0].square() / 2, x[1] * (a - x[1] / 2));
       }},
      {"log_sigmoid", [](X x, Shape, const Tensor&) { return torch::log_sigmoid(x[0]); }},
      {"silu", [](X x, Shape, const Tensor&) { return torch::silu(x[0]); }},
      {"erf", [](X x, Shape, const Tensor&) { return x[0].erf(); }},
      {"normal_cdf", [](X x, Shape, const Tensor&) { return torch::special::ndtr(x[0]); }},
      {"gelu", [](X x, Shape, const Tensor&) { return torch::gelu(x[0]); }},
      {"lgamma", [](X x, Shape, const Tensor&) { return x[0].lgamma(); }},
      {"polygamma",
       [](X x, Shape, const Tensor&) {  // n is 0 or 1; its own trigamma has 9 digits, its zeta has 15
         const Tensor& at = x[1];
         const Tensor trigamma = torch::special::zeta(torch::tensor(2.0, torch::kFloat64), at);
         const Tensor digamma = at.detach().digamma() + trigamma.detach() * (at - at.detach());
         return torch::where(x[0] == 0, digamma, trigamma);
       }},
      {"logaddexp", [](X x, Shape, const Tensor&) { return torch::logaddexp(x[0], x[1]); }},
      {"xlogy", [](X x, Shape, const Tensor&) { return torch::xlogy(x[0], x[1]); }},
      {"where", [](X x, Shape, const Tensor&) { return torch::where(x[0] != 0, x[1], x[2]); }},
      {"add", [](X x, Shape, const Tensor&) { return x[0] + x[1]; }},
      {"subtract", [](X x, Shape, const Tensor&) { return x[0] - x[1]; }},
      {"multiply", [](X x, Shape, const Tensor&) { return x[0] * x[1]; }},
      {"divide", [](X x, Shape, const Tensor&) { return x[0] / x[1]; }},
      {"minimum", [](X x, Shape, const Tensor&) { return torch::minimum(x[0], x[1]); }},
      {"maximum", [](X x, Shape, const Tensor&) { return torch::maximum(x[0], x[1]); }},
      {"greater", [](X x, Shape, const Tensor&) { return (x[0] > x[1]).to(x[0].dtype()); }},
      {"less_equal", [](X x, Shape, const Tensor&) { return (x[0] <= x[1]).to(x[0].dtype()); }},
      {"clip",
       [](X x, Shape s,
          const Tensor&) {  // its clamp does not un-broadcast its first operand in the backward pass
         return torch::clamp(x[0].broadcast_to({s.rows, s.cols}), x[1], x[2]);
       }},
      {"matmul", [](X x, Shape, const Tensor&) { return x[0].matmul(x[1]); }},
      {"matmul_tn", [](X x, Shape, const Tensor&) { return x[0].t().matmul(x[1]); }},
      {"matmul_nt", [](X x, Shape, const Tensor&) { return x[0].matmul(x[1].t()); }},
      {"linear", [](X x, Shape, const Tensor&) { return torch::addmm(x[2], x[0], x[1]); }},
      {"sum_to",
       [](X x, Shape s, const Tensor&) {
         return x[0].sum_to_size({s.rows, s.cols});
       }},
      {"broadcast_to", [](X x, Shape s, const Tensor&) { return x[0].broadcast_to({s.rows, s.cols}); }},
      {"pick", [](X x, Shape, const Tensor& i) { return x[0].gather(1, i.view({x[0].size(0), -1})); }},
      {"place",
       [](X x, Shape s,
          const Tensor&
              i) { return torch::zeros({s.rows, s.cols}, x[0].dtype()).scatter_add(1, i.view({s.rows, -1}), x[0]); }},
      {"gather", [](X x, Shape, const Tensor& i) { return x[0].index_select(0, i); }},
      {"scatter_add",
       [](X x, Shape s,
          const Tensor& i) { return torch::zeros({s.rows, s.cols}, x[0].dtype()).index_add(0, i, x[0]); }},
  };
  return all;
}

/// The index of a node that picks from its operand, of shape x, or places it.
Tensor index_of(const Var<double>& y, Shape x) {
  const std::string name = y.node().op->name;
  const int* at = y.node().index;
  const std::size_t size = name == "pick"          ? y.shape().size()
                           : name == "place"       ? x.size()
                           : name == "scatter_add" ? static_cast<std::size_t>(x.rows)
                           : name == "gather"      ? static_cast<std::size_t>(y.rows())
                                                   : 0;
  return size > 0 ? tensor(std::span<const int>(at, size)) : Tensor();
}

TEST(LibTorch, AgreesOnEveryListedOperation) {
  int compared = 0;
  for (const auto& op : all_ops<double>()) {
    const auto peer = peers().find(op.name);
    ASSERT_NE(peer, peers().end()) << op.name << " has no peer here";
    for (std::uint32_t pattern = 0; pattern < op.shapes.size(); ++pattern, ++compared) {
      const auto& shapes = op.shapes[pattern];
      Rng rng(21, op.name, pattern);
      std::vector<Array<double>> x;
      std::vector<Tensor> there;
      for (std::size_t i = 0; i < shapes.size(); ++i) {
        x.push_back(zeros<double>(shapes[i].rows, shapes[i].cols));
        const Domain& d = op.domain[i];
        for (double& v : values(x.back()))
          v = d.binary ? (rng.bits() % 2 ? d.high : d.low) : rng.uniform(d.low, d.high);
        there.push_back(tensor(x.back()));
      }
      const auto differentiated = [&](std::size_t i) {
        return std::find(op.without_rule.begin(), op.without_rule.end(), static_cast<int>(i)) ==
               op.without_rule.end();
      };
      Tape<double> tape;
      std::vector<Var<double>> operands, parameters;
      for (std::size_t i = 0; i < x.size(); ++i) {
        operands.push_back(differentiated(i) ? tape.parameter(x[i]) : tape.constant(x[i]));
        if (differentiated(i)) parameters.push_back(operands.back()), there[i].requires_grad_();
      }
      const Var<double> y = op.apply(std::vector<Operand<double>>(operands.begin(), operands.end()));
      const Tensor y_there = peer->second(there, y.shape(), index_of(y, shapes[0]));
      const auto label = [&] { return join(op.name, " pattern ", pattern); };
      EXPECT_LE(distance(numbers(y.value()), numbers(y_there)), 1e-12) << label();
      if (parameters.empty()) continue;

      Array<double> w = zeros<double>(y.rows(), y.cols());
      for (double& v : values(w)) v = rng.normal();
      const auto g = grad(dot(y, w), parameters);
      (y_there * tensor(w)).sum().backward();
      for (std::size_t i = 0, k = 0; i < x.size(); ++i)
        if (differentiated(i)) {
          EXPECT_LE(distance(numbers(g[k++]), numbers(there[i].grad())), 1e-12)
              << label() << " operand " << i;
        }
    }
  }
  EXPECT_GT(compared, 100);
}

/// The same value in both.
struct Pair {
  Var<double> here;
  Tensor there;
};

/// Brought into a domain, smoothly.
Pair within(const Domain& d, const Pair& x) {
  if (d.binary)
    return {greater(x.here, 0) * (d.high - d.low) + d.low,
            (x.there > 0).to(torch::kFloat64) * (d.high - d.low) + d.low};
  const double half = 0.5 * (d.high - d.low), middle = 0.5 * (d.high + d.low);
  return {tanh(x.here) * half + middle, x.there.tanh() * half + middle};
}

TEST(LibTorch, AgreesOnRandomCompositesOfTheList) {
  const auto ops = all_ops<double>();
  std::map<std::string, int> used;
  for (std::uint32_t graph = 0; graph < 60; ++graph) {
    Rng rng(24, "graphs", graph);
    const auto below = [&](std::size_t n) { return static_cast<std::size_t>(rng.bits() % n); };
    std::deque<Array<double>> leaves;
    Tape<double> tape;
    std::vector<Var<double>> parameters;
    std::vector<Tensor> parameters_there;
    std::vector<Pair> pool;
    // An earlier value of this shape where there is one, as often as not; else a new leaf.
    const auto of_shape = [&](Shape s) {
      std::vector<Pair> fitting;
      for (const Pair& each : pool)
        if (each.here.shape() == s) fitting.push_back(each);
      if (!fitting.empty() && rng.uniform() < 0.8) return fitting[below(fitting.size())];
      leaves.push_back(zeros<double>(s.rows, s.cols));
      for (double& v : values(leaves.back())) v = rng.normal();
      parameters.push_back(tape.parameter(leaves.back()));
      parameters_there.push_back(tensor(leaves.back()).requires_grad_());
      return Pair{parameters.back(), parameters_there.back()};
    };
    for (int step = 0; step < 15; ++step) {
      const auto& op = ops[below(ops.size())];
      const auto& shapes = op.shapes[below(op.shapes.size())];
      std::vector<Operand<double>> here;
      std::vector<Tensor> there;
      for (std::size_t i = 0; i < shapes.size(); ++i) {
        const Pair x = within(op.domain[i], of_shape(shapes[i]));
        const bool fixed = std::find(op.without_rule.begin(), op.without_rule.end(), static_cast<int>(i)) !=
                           op.without_rule.end();
        here.push_back(fixed ? stop_gradient(x.here) : x.here);
        there.push_back(fixed ? x.there.detach() : x.there);
      }
      const Var<double> y = op.apply(here);
      pool.push_back({y, peers().at(op.name)(there, y.shape(), index_of(y, shapes[0]))});
      EXPECT_LE(distance(numbers(y.value()), numbers(pool.back().there)), 1e-12)
          << op.name << " in graph " << graph;
      ++used[op.name];
    }
    Var<double> loss = sum(parameters.front()) * 0;
    Tensor loss_there = parameters_there.front().sum() * 0;
    for (const Pair& each : pool) {
      loss = loss + mean(square(each.here));
      loss_there = loss_there + each.there.square().mean();
    }
    const auto g = grad(loss, parameters);
    const auto g_there = torch::autograd::grad({loss_there}, parameters_there, {}, {}, false, true);
    for (std::size_t i = 0; i < g.size(); ++i)
      if (g_there[i].defined()) {
        EXPECT_LE(distance(numbers(g[i]), numbers(g_there[i])), 1e-11)
            << "leaf " << i << " of graph " << graph;
      } else {
        EXPECT_EQ(g[i], zeros_like(g[i]));
      }
  }
  for (const auto& op : ops) EXPECT_GT(used[op.name], 0) << op.name;
}

/// Weighted log-probabilities of actions under a network 4-64-64-2.
struct Policy {
  Mlp mlp{.sizes = {4, 64, 64, 2}};
  std::vector<Array<double>> theta;
  Array<double> x, psi;
  std::vector<int> action;

  explicit Policy(int rows) : x(zeros<double>(rows, 4)), psi(zeros<double>(rows, 1)) {
    Rng rng(22, "policy");
    theta = initialise(mlp, rng);
    for (std::size_t i = 1; i < theta.size(); i += 2)
      for (double& b : values(theta[i])) b = 0.1 * rng.normal();
    for (double& v : values(x)) v = rng.normal();
    for (double& v : values(psi)) v = rng.normal();
    for (int r = 0; r < rows; ++r) action.push_back(static_cast<int>(rng.bits() % 2));
  }
};

/// Value and gradient in one line of numbers.
template <class T>
std::vector<double> here(const Policy& p) {
  const std::vector<Array<T>> theta(p.theta.begin(), p.theta.end());
  const Array<T> x(p.x), psi(p.psi);
  Tape<T> tape;
  const auto parameters = tape.parameters(theta);
  const auto pi = Categorical<T>::from_logits(forward(p.mlp, parameters, tape.data(x)));
  const auto loss = -mean(pi.log_prob(p.action) * psi);
  std::vector<double> out{static_cast<double>(loss.item())};
  for (const auto& each : grad(loss, parameters)) out.insert(out.end(), each.begin(), each.end());
  return out;
}

/// log pi(a|s) of each row, [n x 1].
Tensor log_prob_there(const Policy& p, const std::vector<Tensor>& theta, Tensor h) {
  for (std::size_t l = 0; l < 3; ++l) {
    h = torch::addmm(theta[2 * l + 1], h, theta[2 * l]);
    if (l < 2) h = h.tanh();
  }
  return h.log_softmax(1).gather(1, tensor(std::span<const int>(p.action)).unsqueeze(1));
}

template <class T>
std::vector<double> there(const Policy& p) {
  std::vector<Tensor> theta;
  for (const auto& each : p.theta) theta.push_back(tensor(each).to(dtype<T>).requires_grad_());
  const Tensor log_pi = log_prob_there(p, theta, tensor(p.x).to(dtype<T>));
  const Tensor loss = -(log_pi * tensor(p.psi).to(dtype<T>)).mean();
  loss.backward();
  std::vector<double> out = numbers(loss);
  for (const Tensor& each : theta)
    for (const double g : numbers(each.grad())) out.push_back(g);
  return out;
}

TEST(LibTorch, AgreesOnAPolicyGradient) {
  for (const int rows : {1, 64, 1000}) {
    const Policy p(rows);
    EXPECT_LE(distance(here<double>(p), there<double>(p)), 1e-12) << rows;
    EXPECT_LE(distance(here<float>(p), there<float>(p)), 1e-5) << rows;
    EXPECT_LE(distance(here<float>(p), here<double>(p)), 1e-5) << rows;
  }
}

TEST(LibTorch, AgreesOnAHessianVectorProduct) {
  const Policy p(64);
  Rng rng(23, "direction");
  std::vector<Array<double>> v;
  for (const auto& each : p.theta) {
    v.push_back(zeros_like(each));
    for (double& e : values(v.back())) e = rng.normal();
  }
  Tape<double> tape;
  const auto parameters = tape.parameters(p.theta);
  const auto pi = Categorical<double>::from_logits(forward(p.mlp, parameters, tape.data(p.x)));
  const auto g = grad_graph(mean(pi.log_prob(p.action) * p.psi), parameters);
  auto along = dot(g[0], v[0]);
  for (std::size_t i = 1; i < g.size(); ++i) along = along + dot(g[i], v[i]);

  std::vector<Tensor> theta;
  for (const auto& each : p.theta) theta.push_back(tensor(each).requires_grad_());
  const Tensor log_pi = log_prob_there(p, theta, tensor(p.x));
  const auto g_there = torch::autograd::grad({(log_pi * tensor(p.psi)).mean()}, theta, {}, true, true);
  Tensor along_there = torch::zeros({}, torch::kFloat64);
  for (std::size_t i = 0; i < theta.size(); ++i)
    along_there = along_there + (g_there[i] * tensor(v[i])).sum();
  const auto Hv_there = torch::autograd::grad({along_there}, theta);

  const auto Hv = grad(along, parameters);
  for (std::size_t i = 0; i < Hv.size(); ++i)
    EXPECT_LE(distance(numbers(Hv[i]), numbers(Hv_there[i])), 1e-11) << p.mlp.names()[i];
}

/// A layer of sequences [4 x 3 rows x 6], here and there, and the shapes of its parameters.
struct Layer {
  const char* name;
  std::vector<Shape> shapes;
  std::function<Var<double>(const std::vector<Var<double>>&, Var<double>)> here;
  std::function<Tensor(const std::vector<Tensor>&, const Tensor&)> there;
};

std::vector<Layer> layers() {
  constexpr int sequences = 4, length = 3, d = 6, H = 5;
  using P = const std::vector<Var<double>>&;
  /// The states after each step, [rows x H]; step(x_t) gives those of all sequences.
  const auto over_time = [](const Tensor& x, auto&& step) {
    std::vector<Tensor> states;
    for (int t = 0; t < length; ++t) states.push_back(step(x.view({sequences, length, d}).select(1, t)));
    return torch::stack(states, 1).view({sequences * length, H});
  };
  const auto attention = [](Attend to) {
    return Layer{to == Attend::to_all ? "attention" : "attention to the past",
                 {{d, 3 * d}, {1, 3 * d}, {d, d}, {1, d}},
                 [to](P w, Var<double> x) {
                   return forward(MultiHeadAttention{.width = d, .heads = 2, .to = to}, w, x, sequences);
                 },
                 [to](X w, const Tensor& x) {
                   const Tensor rows = x.view({sequences, length, d}).transpose(0, 1);
                   auto options = torch::nn::functional::MultiheadAttentionForwardFuncOptions(
                       d, 2, w[0].t(), w[1].flatten(), {}, {}, false, 0, w[2].t(), w[3].flatten());
                   if (to == Attend::to_past)
                     options.attn_mask(torch::full({length, length}, -INFINITY, torch::kFloat64).triu(1));
                   const auto [y, weights] =
                       torch::nn::functional::multi_head_attention_forward(rows, rows, rows, options);
                   return y.transpose(0, 1).reshape({sequences * length, d});
                 }};
  };
  return {
      {"layer_norm",
       {{1, d}, {1, d}},
       [](P w, Var<double> x) { return layer_norm(x, w[0], w[1]); },
       [](X w, const Tensor& x) { return torch::layer_norm(x, {d}, w[0].flatten(), w[1].flatten()); }},
      {"rms_norm",
       {{1, d}},
       [](P w, Var<double> x) { return rms_norm(x, w[0]); },
       [](X w, const Tensor& x) { return x * (x.square().mean(1, true) + 1e-5).rsqrt() * w[0]; }},
      {"gru",
       {{d, 3 * H}, {1, 3 * H}, {H, 3 * H}, {1, 3 * H}},
       [](P w, Var<double> x) { return unroll(Gru{.inputs = d, .hidden = H}, w, x, sequences); },
       [over_time](X w, const Tensor& x) {
         Tensor h = torch::zeros({sequences, H}, torch::kFloat64);
         return over_time(x, [&](const Tensor& now) {
           return h = torch::gru_cell(now, h, w[0].t(), w[2].t(), w[1].flatten(), w[3].flatten());
         });
       }},
      {"lstm",
       {{d, 4 * H}, {1, 4 * H}, {H, 4 * H}, {1, 4 * H}},
       [](P w, Var<double> x) { return unroll(Lstm{.inputs = d, .hidden = H}, w, x, sequences); },
       [over_time](X w, const Tensor& x) {
         Tensor h = torch::zeros({sequences, H}, torch::kFloat64), c = h;
         return over_time(x, [&](const Tensor& now) {
           std::tie(h, c) = torch::lstm_cell(now, {h, c}, w[0].t(), w[2].t(), w[1].flatten(), w[3].flatten());
           return h;
         });
       }},
      attention(Attend::to_all),
      attention(Attend::to_past),
  };
}

TEST(LibTorch, AgreesOnLayers) {
  for (const auto& [name, shapes, layer, peer] : layers()) {
    Rng rng(25, name);
    std::vector<Array<double>> x = {zeros<double>(12, 6)};
    for (const Shape s : shapes) x.push_back(zeros<double>(s.rows, s.cols));
    for (auto& each : x)
      for (double& v : values(each)) v = 0.5 * rng.normal();
    Tape<double> tape;
    const auto parameters = tape.parameters(x);
    const auto y = layer({parameters.begin() + 1, parameters.end()}, parameters[0]);
    std::vector<Tensor> there;
    for (const auto& each : x) there.push_back(tensor(each).requires_grad_());
    const Tensor y_there = peer({there.begin() + 1, there.end()}, there[0]);
    EXPECT_LE(distance(numbers(y.value()), numbers(y_there)), 1e-12) << name;
    const auto g = grad(sum(square(y)), parameters);
    y_there.square().sum().backward();
    for (std::size_t i = 0; i < g.size(); ++i)
      EXPECT_LE(distance(numbers(g[i]), numbers(there[i].grad())), 1e-12) << name << " array " << i;
  }
}

}  // namespace
}  // namespace lowvar
