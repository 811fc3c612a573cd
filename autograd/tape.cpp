// The pool of tapes, and gradients: on numbers, and recorded.
#include "autograd/tape.h"

#include <algorithm>
#include <mutex>

#include "autograd/backward.h"
#include "autograd/functions.h"
#include "core/array.h"

namespace lowvar {

// ---- Tape ----

namespace {

/// Records outlive their tapes, so that a stale Var can be told from a live one.
template <class T>
struct Pool {
  std::mutex mutex;
  std::vector<std::unique_ptr<Record<T>>> idle;
};

template <class T>
Pool<T>& pool() {
  static auto& instance = *new Pool<T>;  // never destroyed: a Var may be asked after main
  return instance;
}

}  // namespace

template <class T>
Tape<T>::Tape(Trap trap) {
  const std::lock_guard lock(pool<T>().mutex);
  auto& idle = pool<T>().idle;
  record_ = idle.empty() ? std::make_unique<Record<T>>() : std::move(idle.back());
  if (!idle.empty()) idle.pop_back();
  record_->trap = trap == Trap::on;
}

template <class T>
Tape<T>::~Tape() {
  ++record_->generation;
  record_->nodes.clear();
  record_->arena.rewind({});
  const std::lock_guard lock(pool<T>().mutex);
  pool<T>().idle.push_back(std::move(record_));
}

template <class T>
Var<T> Tape<T>::leaf(const T* x, Shape shape, bool parameter, bool per_row, At at) {
  Node<T> node;
  node.shape = shape;
  node.value = x;
  node.needs_gradient = parameter;
  node.per_row = per_row;
  if (record_->trap)
    detail::check_finite(x, shape, at,
                         parameter ? "a parameter"
                         : per_row ? "data"
                                   : "a constant",
                         " of the tape is");
  record_->nodes.push_back(node);
  return {record_.get(), static_cast<int>(record_->nodes.size()) - 1};
}

template <class T>
Var<T> Tape<T>::data(Array<T>&& x, At at) {
  const int i = node_of(*record_, Operand<T>(x, at));
  record_->nodes[static_cast<std::size_t>(i)].per_row = true;
  return {record_.get(), i};
}

template <class T>
Var<T> Tape<T>::data(const Array<T>& x, int begin, int end, At at) {
  const Shape whole = lowvar::shape(x);
  expect(0 <= begin && begin <= end && end <= whole.rows, "data: rows ", begin, " to ", end, " of ",
         whole.rows, at);
  return leaf(x.data() + Shape{begin, whole.cols}.size(), {end - begin, whole.cols}, false, true, at);
}

template <class T>
std::vector<Var<T>> Tape<T>::leaves(std::span<const Array<T>> xs, bool parameter, At at) {
  std::vector<Var<T>> out;
  out.reserve(xs.size());
  for (const auto& x : xs) out.push_back(leaf(x, parameter, false, at));
  return out;
}

// ---- Var ----

template <class T>
const Node<T>& Var<T>::node() const {
  expect(record_ != nullptr, "a Var that was never recorded has no value");
  expect(record_->generation == generation_,
         "a Var was used after its tape had ended: keep its value(), not the Var");
  return (*record_)[index_];
}

template <class T>
Array<T> Var<T>::value() const {
  return from_values<T>(rows(), cols(), values());
}

template <class T>
T Var<T>::item(At at) const {
  expect(shape() == Shape{1, 1}, "item: needs a 1x1, got ", shape(), at);
  return node().value[0];
}

template <class T>
Record<T>& common_record(const char* op, std::span<const Operand<T>> operands) {
  Record<T>* record = nullptr;
  for (const Operand<T>& x : operands) {
    if (!x.is_var) continue;
    x.var.node();
    expect(record == nullptr || record == x.var.record(), op, ": operands are of different tapes", x.at);
    record = x.var.record();
  }
  expect(record != nullptr, op, ": needs at least one Var");
  return *record;
}

template <class T>
int node_of(Record<T>& record, const Operand<T>& operand) {
  if (operand.is_var) return operand.var.index();
  Node<T> node;
  node.shape = operand.array ? shape(*operand.array) : Shape{1, 1};
  T* copy = record.arena.template allocate<T>(node.shape.size());
  if (operand.array) {
    if (record.trap) detail::check_finite(operand.array->data(), node.shape, operand.at, "an operand is");
    std::copy_n(operand.array->data(), node.shape.size(), copy);
    node.per_row = node.shape.rows > 1;
  } else {
    *copy = operand.number;
  }
  node.value = copy;
  record.nodes.push_back(node);
  return static_cast<int>(record.nodes.size()) - 1;
}

template <class T>
Var<T> finish(Record<T>& record, At at) {
  const Node<T>& node = record.nodes.back();
  if (record.trap) detail::check_finite(node.value, node.shape, at, node.op->name, ": the result is");
  return {&record, static_cast<int>(record.nodes.size()) - 1};
}

// ---- Gradients ----

namespace {

using namespace detail;

template <class T>
void check_loss(const char* what, const Var<T>& y, const std::vector<Var<T>>& xs, At at) {
  check_targets(what, y, xs, at);
  expect(y.shape() == Shape{1, 1}, what, ": y must be a 1x1, got ", y.shape(), "; sum it first", at);
}

/// That `arrays`, one of which is called `name`, are of the shapes of xs.
template <class T>
void check_arrays(const char* what, const char* name, const std::vector<Array<T>>& arrays,
                  const std::vector<Var<T>>& xs, At at) {
  expect(arrays.size() == xs.size(), what, ": needs a ", name, " for each of the ", xs.size(), " xs, got ",
         arrays.size(), at);
  for (std::size_t k = 0; k < xs.size(); ++k)
    expect(shape(arrays[k]) == xs[k].shape(), what, ": the ", name, " of x ", k, " is ", shape(arrays[k]),
           ", not ", xs[k].shape(), at);
}

/// As above, of results; and that none of them is an x itself, which the pass still reads.
template <class T>
void check_results(const char* what, const std::vector<Array<T>>& out, const std::vector<Var<T>>& xs, At at) {
  check_arrays(what, "result", out, xs, at);
  for (std::size_t k = 0; k < xs.size(); ++k)
    for (std::size_t j = 0; j < xs.size(); ++j)
      expect(out[k].size() == 0 || out[k].data() != xs[j].node().value, what, ": the result of x ", k,
             " would be written over x ", j, at);
}

/// A cotangent of a node, to begin a pass with.
template <class T>
struct Seed {
  int node;
  const T* g;
};

/// What the seeds make of the gradients of xs, to `out`.
template <class T>
void pull_back(std::vector<Array<T>>& out, Record<T>& record, int last, std::span<const Seed<T>> seeds,
               const std::vector<Var<T>>& xs, At at) {
  const auto mark = record.arena.mark();
  begin_pass(record, last, xs, [&](std::size_t k) { return out[k].data(); });
  for (const auto& [i, g] : seeds) {
    if (!record.reached[static_cast<std::size_t>(i)]) continue;
    const std::size_t size = record[i].shape.size();
    const auto [to, accumulate] = open(record, i, size);
    for (std::size_t j = 0; j < size; ++j) to[j] = accumulate ? to[j] + g[j] : g[j];
  }
  sweep(record, last, [&](const Frame<T>& f, int, int k, int x, const T* g) {
    const auto [to, accumulate] = open(record, x, record[x].shape.size());
    f.y->op->pullback(f, k, 0, f.y->shape.rows, g, to, accumulate);
    if (record.trap) check_cotangent(f, k, to, at);
  });
  for (std::size_t k = 0; k < xs.size(); ++k) deliver(record, xs[k], 1, 0, out[k].data());
  record.arena.rewind(mark);
}

/// The recorded pass from y: the adjoint of each node that xs reach. Of a node with adjoint g, operands 1 and
/// 2 are left out where leave_out(node, operands, g).
template <class T>
std::vector<Var<T>> sweep_graph(Var<T> y, const std::vector<Var<T>>& xs, At at, auto&& leave_out) {
  Record<T>& record = *y.record();
  const auto& reached = reached_from(record, y.index(), xs);
  std::vector<Var<T>> adjoint(reached.size());
  adjoint.back() = operand_var<T>(record, {T(1), at});
  for (int i = y.index(); i >= 0; --i) {
    const Var<T> g = adjoint[static_cast<std::size_t>(i)];
    const Node<T> node = record[i];  // a copy: recording moves the nodes
    if (g.record() == nullptr || node.op == nullptr || !reached[static_cast<std::size_t>(i)]) continue;
    std::array<Var<T>, 3> operands;
    for (std::size_t k = 0; k < 3; ++k)
      if (node.operand[k] >= 0) operands[k] = Var<T>(&record, node.operand[k]);
    const std::size_t count = leave_out(node, operands, g) ? 1 : 3;
    for (std::size_t k = 0; k < count && node.operand[k] >= 0; ++k) {
      const auto x = static_cast<std::size_t>(node.operand[k]);
      if (!reached[x]) continue;
      try {
        const Var<T> part = node.op->pullback_graph(Var<T>(&record, i), operands, static_cast<int>(k), g);
        adjoint[x] = adjoint[x].record() ? adjoint[x] + part : part;
      } catch (const NumericalFault& e) {
        throw NumericalFault(
            join(node.op->name, ": backward, in the cotangent of operand ", k, ", ", e.what(), at));
      }
    }
  }
  return adjoint;
}

}  // namespace

template <class T>
void grad_into(std::vector<Array<T>>& out, Var<T> y, const std::vector<Var<T>>& xs, At at) {
  check_loss("grad", y, xs, at);
  check_results("grad", out, xs, at);
  const T one = 1;
  const Seed<T> seed{y.index(), &one};
  pull_back<T>(out, *y.record(), y.index(), {&seed, 1}, xs, at);
}

template <class T>
std::vector<Array<T>> grad(Var<T> y, const std::vector<Var<T>>& xs, At at) {
  std::vector<Array<T>> out;
  out.reserve(xs.size());
  for (const auto& x : xs) out.push_back(zeros<T>(x.rows(), x.cols()));
  grad_into(out, y, xs, at);
  return out;
}

template <class T>
std::vector<Var<T>> grad_graph(Var<T> y, const std::vector<Var<T>>& xs, At at) {
  check_loss("grad_graph", y, xs, at);
  const auto adjoint = sweep_graph(y, xs, at, [](auto&&...) { return false; });
  std::vector<Var<T>> out;
  for (const auto& x : xs) {
    const auto i = static_cast<std::size_t>(x.index());
    const bool reached = i < adjoint.size() && adjoint[i].record();
    out.push_back(reached ? adjoint[i]
                          : broadcast_to(operand_var<T>(*y.record(), {T(0), at}), x.shape(), at));
  }
  return out;
}

// The derivative of y along v is a sum of inner products <a, b>: of a gradient and v; or, where an operation
// is linear in its parameters, of its cotangent g and its own derivative along v. Their cotangents are each
// other.
template <class T>
void hvp_into(std::vector<Array<T>>& out, Var<T> y, const std::vector<Var<T>>& xs,
              const std::vector<Array<T>>& v, At at) {
  check_loss("hvp", y, xs, at);
  check_results("hvp", out, xs, at);
  check_arrays("hvp", "v", v, xs, at);
  check_distinct("hvp", xs, at);
  Record<T>& record = *y.record();
  const auto number_of = [&](int i) {  // of node i among xs; as many as there are if it is none
    return static_cast<std::size_t>(std::ranges::find(xs, i, &Var<T>::index) - xs.begin());
  };
  const auto mark = record.arena.mark();
  const std::size_t nodes = record.nodes.size();
  std::vector<Var<T>> along;
  for (const auto& each : v) along.push_back(operand_var<T>(record, {each, at}));
  std::vector<std::pair<Var<T>, Var<T>>> inner;
  const auto adjoint =
      sweep_graph(y, xs, at, [&](const Node<T>& node, const auto& operands, const Var<T>& g) {
        if (node.op->along == nullptr) return false;
        const std::size_t k1 = number_of(node.operand[1]), k2 = number_of(node.operand[2]);
        if (k1 == xs.size() || k2 == xs.size()) return false;
        if (record[node.operand[1]].op || record[node.operand[2]].op) return false;  // its gradient goes on
        try {
          inner.push_back({g, node.op->along(operands, along[k1], along[k2])});
        } catch (const NumericalFault& e) {
          throw NumericalFault(join(node.op->name, ": in the derivative along v, ", e.what(), at));
        }
        return true;
      });
  for (std::size_t k = 0; k < xs.size(); ++k) {
    const auto i = static_cast<std::size_t>(xs[k].index());
    if (i < adjoint.size() && adjoint[i].record()) inner.push_back({adjoint[i], along[k]});
  }
  std::vector<Seed<T>> seeds;
  for (const auto& [a, b] : inner)
    seeds.insert(seeds.end(), {{a.index(), b.node().value}, {b.index(), a.node().value}});
  pull_back<T>(out, record, static_cast<int>(record.nodes.size()) - 1, seeds, xs, at);
  record.nodes.resize(nodes);
  record.arena.rewind(mark);
}

#define LOWVAR_INSTANTIATE(T)                                                              \
  template class Tape<T>;                                                                  \
  template class Var<T>;                                                                   \
  template Record<T>& common_record(const char*, std::span<const Operand<T>>);             \
  template int node_of(Record<T>&, const Operand<T>&);                                     \
  template Var<T> finish(Record<T>&, At);                                                  \
  template std::vector<Array<T>> grad(Var<T>, const std::vector<Var<T>>&, At);             \
  template void grad_into(std::vector<Array<T>>&, Var<T>, const std::vector<Var<T>>&, At); \
  template std::vector<Var<T>> grad_graph(Var<T>, const std::vector<Var<T>>&, At);         \
  template void hvp_into(std::vector<Array<T>>&, Var<T>, const std::vector<Var<T>>&,       \
                         const std::vector<Array<T>>&, At);
LOWVAR_INSTANTIATE(float)
LOWVAR_INSTANTIATE(double)
#undef LOWVAR_INSTANTIATE

}  // namespace lowvar
