// The pool of tapes, and gradients: on numbers, and recorded.
#include "autograd/tape.h"

#include <algorithm>
#include <cstring>
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
  record_->operand.clear();
  record_->borrowed.clear();
  record_->evaluated.clear();
  record_->subgraphs.clear();
  record_->visits.clear();
  record_->arena.rewind({});
  const std::lock_guard lock(pool<T>().mutex);
  pool<T>().idle.push_back(std::move(record_));
}

namespace {

using Words [[gnu::vector_size(32)]] = std::uint64_t;

/// Sums of words in eight lanes, and sums of those sums: as fast as memory can be read.
struct Sums {
  Words a = {}, b = {}, a_sums = {}, b_sums = {};

  void add(const unsigned char* from, std::size_t bytes) {
    constexpr std::size_t half = sizeof(Words);
    Sums s = *this;  // in registers
    const auto add_next = [&s](const unsigned char* at) {
      Words x, y;
      std::memcpy(&x, at, half);
      std::memcpy(&y, at + half, half);
      s.a_sums += s.a += x;
      s.b_sums += s.b += y;
    };
    for (; bytes >= 2 * half; from += 2 * half, bytes -= 2 * half) add_next(from);
    if (bytes > 0) {
      unsigned char rest[2 * half] = {};
      std::memcpy(rest, from, bytes);
      add_next(rest);
    }
    *this = s;
  }
};

/// Of what an array holds: all of it up to 256 KiB, of a longer one as much in stretches of a kilobyte.
std::uint64_t hash_of(const void* x, std::size_t bytes) {
  constexpr std::size_t all = std::size_t{1} << 18, stretch = 1024, stretches = all / stretch;
  const auto* from = static_cast<const unsigned char*>(x);
  Sums sums;
  if (bytes <= all) {
    sums.add(from, bytes);
  } else {
    for (std::size_t k = 0; k < stretches; ++k)
      sums.add(from + (bytes - stretch) / (stretches - 1) * k, stretch);
    sums.add(from + bytes - stretch, stretch);
  }
  std::uint64_t out = bytes;
  for (const Words& lanes : {sums.a, sums.b, sums.a_sums, sums.b_sums})
    for (int j = 0; j < 4; ++j) out = (out ^ lanes[j]) * 0x9e3779b97f4a7c15u;
  return out;
}

template <class T>
std::uint64_t hash_of(const Node<T>& leaf) {
  return hash_of(leaf.value, leaf.shape.size() * sizeof(T));
}

}  // namespace

template <class T>
std::uint64_t detail::lent_hash(const Record<T>& record, int i) {
  return std::ranges::lower_bound(record.borrowed, i, {}, &std::pair<int, std::uint64_t>::first)->second;
}

template <class T>
void detail::check_unchanged(const Record<T>& record, int i) {
  expect(lent_hash(record, i) == hash_of(record[i]), "an array of shape ", record[i].shape,
         " that the tape borrows was written to before the last gradient was taken: take gradients first, or "
         "let the tape own a copy, without borrow()");
}

template <class T>
Var<T> Tape<T>::leaf(const T* x, Shape shape, Leaf kind, Lending lending, At at) {
  Record<T>& record = *record_;
  Node<T> node;
  node.shape = shape;
  node.needs_gradient = kind == Leaf::parameter;
  node.data_rows = kind == Leaf::data ? Node<T>::data_of_any_rows : Node<T>::no_data;
  if (record.trap)
    detail::check_finite(x, shape, at, true,
                         kind == Leaf::parameter ? "a parameter"
                         : kind == Leaf::data    ? "data"
                                                 : "a constant",
                         " of the tape is");
  if (lending != Lending::copied) {
    node.value = x;
    node.borrowed = lending == Lending::hashed;
    if (node.borrowed) record.borrowed.push_back({static_cast<int>(record.nodes.size()), hash_of(node)});
  } else {
    T* copy = record.arena.template allocate<T>(shape.size());
    std::copy_n(x, shape.size(), copy);
    node.value = copy;
  }
  record.nodes.push_back(node);
  return {&record, static_cast<int>(record.nodes.size()) - 1};
}

template <class T>
Var<T> Tape<T>::leaf(const Array<T>& x, int begin, int end, Lending lending, At at) {
  const Shape whole = lowvar::shape(x);
  expect(0 <= begin && begin <= end && end <= whole.rows, "data: rows ", begin, " to ", end, " of ",
         whole.rows, at);
  return leaf(x.data() + Shape{begin, whole.cols}.size(), {end - begin, whole.cols}, Leaf::data, lending, at);
}

template <class T>
std::vector<Var<T>> Tape<T>::leaves(std::span<const Array<T>> xs, Leaf kind, Lending lending, At at) {
  std::vector<Var<T>> out;
  out.reserve(xs.size());
  for (const auto& x : xs) out.push_back(leaf(x, kind, lending, at));
  return out;
}

void release_tape_memory() {
  const auto release = [](auto& pool) {
    const std::lock_guard lock(pool.mutex);
    for (auto& record : pool.idle) {
      // The record itself stays: a Var of an ended tape may still be asked.
      const std::uint32_t generation = record->generation;
      *record = {};
      record->generation = generation;
    }
  };
  release(pool<float>());
  release(pool<double>());
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
std::span<const T> Var<T>::values() const {
  const Shape shape = node().shape;
  return {value_of(*record_, index_), shape.size()};
}

template <class T>
Array<T> Var<T>::value() const {
  return from_values<T>(rows(), cols(), values());
}

template <class T>
T Var<T>::item(At at) const {
  expect(shape() == Shape{1, 1}, "item: needs a 1x1, got ", shape(), at);
  return values()[0];
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
    if (record.trap)
      detail::check_finite(operand.array->data(), node.shape, operand.at, true, "an operand is");
    std::copy_n(operand.array->data(), node.shape.size(), copy);
    node.data_rows = node.shape.rows;
  } else {
    *copy = operand.number;
  }
  node.value = copy;
  record.nodes.push_back(node);
  return static_cast<int>(record.nodes.size()) - 1;
}

// The trap looks for what became infinite here: an infinity that an operand has may be a mask.
template <class T>
Var<T> finish(Record<T>& record, At at) {
  const int i = static_cast<int>(record.nodes.size()) - 1;
  if (record.trap) {
    const auto infinite = [&](int x) {
      return std::ranges::any_of(Var<T>(&record, x).values(), [](T v) { return std::isinf(v); });
    };
    const Node<T>& node = record[i];
    const std::span<const T> values{node.value, node.shape.size()};
    const bool suspicious = !std::ranges::all_of(values, [](T v) { return std::isfinite(v); });
    if (suspicious && (std::ranges::any_of(values, [](T v) { return std::isnan(v); }) ||
                       !std::ranges::any_of(record.operands(i), infinite)))
      detail::check_finite(node.value, node.shape, at, false, node.op->name, ": the result is");
  }
  return {&record, i};
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

template <class T>
void pull_back_subgraph(Record<T>& record, int i, At at);

/// What the seeds make of the gradients of xs, to `out`.
template <class T>
void pull_back(std::vector<Array<T>>& out, Record<T>& record, std::span<const Seed<T>> seeds,
               const std::vector<Var<T>>& xs, At at) {
  const Scratch<T> scratch(record);
  record.roots.clear();
  for (const auto& seed : seeds) record.roots.push_back(seed.node);
  begin_pass(record, record.roots, xs, [&](std::size_t k) { return out[k].data(); });
  for (const auto& [i, g] : seeds) {
    if (!reached(record, i)) continue;
    const std::size_t size = record[i].shape.size();
    const auto [to, accumulate] = open(record, i, size);
    for (std::size_t j = 0; j < size; ++j) to[j] = accumulate ? to[j] + g[j] : g[j];
  }
  for (std::size_t k = 0; k < record.order.size();) {
    const std::size_t after = pull_back_chain(record, k);
    if (after != k) {
      k = after;
      continue;
    }
    if (record[record.order[k]].subgraph >= 0) {
      pull_back_subgraph(record, record.order[k++], at);
      continue;
    }
    pull_back_node(record, record.order[k++], [&](const Frame<T>& f, int, int q, int x, const T* g) {
      const auto [to, accumulate] = open(record, x, record[x].shape.size());
      f.y->op->pullback(f, q, 0, f.y->shape.rows, g, to, accumulate);
      if (record.trap) check_cotangent(f, q, to, at);
    });
  }
  for (std::size_t k = 0; k < xs.size(); ++k) deliver(record, xs[k], 1, 0, out[k].data());
}

/// Runs the subgraph of node i again, on a tape of its own, and pulls the adjoint back through it.
template <class T>
void pull_back_subgraph(Record<T>& record, int i, At at) {
  const T* g = visit(record, i)->adjoint;
  if (g == nullptr) return;
  std::vector<Array<T>> x, out;
  for (const int k : record.operands(i)) x.push_back(Var<T>(&record, k).value());
  Tape<T> tape(record.trap ? Trap::on : Trap::off);
  std::vector<Var<T>> vars, targets;
  for (std::size_t k = 0; k < x.size(); ++k) {
    const bool target = reached(record, record.operands(i)[k]);
    vars.push_back(target ? tape.parameter(borrow(x[k])) : tape.constant(borrow(x[k])));
    if (!target) continue;
    targets.push_back(vars.back());
    out.push_back(zeros_like(x[k]));
  }
  const Var<T> y = record.subgraphs[static_cast<std::size_t>(record[i].subgraph)](vars);
  expect(y.shape() == record[i].shape, "rematerialise: f gave ", y.shape(), " where it had given ",
         record[i].shape, at);
  if (!y.node().needs_gradient) return;
  const Seed<T> seed{y.index(), g};
  pull_back<T>(out, *y.record(), {&seed, 1}, targets, at);
  for (std::size_t k = 0, target = 0; k < x.size(); ++k) {
    const int to_node = record.operands(i)[k];
    if (!reached(record, to_node)) continue;
    const Array<T>& part = out[target++];
    const auto [to, accumulate] = open(record, to_node, part.size());
    for (std::size_t j = 0; j < part.size(); ++j)
      to[j] = accumulate ? to[j] + part.data()[j] : part.data()[j];
  }
}

/// The adjoints that a recorded pass has found, of the nodes of the pass.
template <class T>
class Adjoints {
 public:
  explicit Adjoints(const Record<T>& record) : nodes_(record.order), adjoint_(record.order.size()) {}

  const std::vector<int>& nodes() const { return nodes_; }
  /// That of node i, without a tape if there is none; null if the pass does not come by.
  Var<T>* of(int i) {
    const auto it = std::ranges::lower_bound(nodes_, i, std::greater());
    return it != nodes_.end() && *it == i ? &adjoint_[static_cast<std::size_t>(it - nodes_.begin())]
                                          : nullptr;
  }

 private:
  std::vector<int> nodes_;  // from the last down
  std::vector<Var<T>> adjoint_;
};

/// The recorded pass from y. Of a node with adjoint g, operands 1 and 2 are left out where leave_out(node,
/// operands, g).
template <class T>
Adjoints<T> sweep_graph(Var<T> y, const std::vector<Var<T>>& xs, At at, auto&& leave_out) {
  Record<T>& record = *y.record();
  const int root = y.index();
  begin_pass(record, {&root, 1}, xs, [](std::size_t) { return nullptr; });
  Adjoints<T> adjoints(record);
  if (Var<T>* first = adjoints.of(root)) *first = operand_var<T>(record, {T(1), at});
  for (const int i : adjoints.nodes()) {
    const Var<T> g = *adjoints.of(i);
    const Node<T> node = record[i];  // a copy: recording moves the nodes
    if (g.record() == nullptr || node.op == nullptr) continue;
    std::vector<Var<T>> operands;
    for (const int x : record.operands(i)) operands.push_back({&record, x});
    const std::size_t count = leave_out(node, operands, g) ? 1 : operands.size();
    for (std::size_t k = 0; k < count; ++k) {
      Var<T>* adjoint = adjoints.of(operands[k].index());
      if (adjoint == nullptr) continue;
      try {
        const Var<T> part = node.op->pullback_graph(Var<T>(&record, i), operands, static_cast<int>(k), g);
        *adjoint = adjoint->record() ? *adjoint + part : part;
      } catch (const NumericalFault& e) {
        throw NumericalFault(
            join(node.op->name, ": backward, in the cotangent of operand ", k, ", ", e.what(), at));
      }
    }
  }
  return adjoints;
}

}  // namespace

template <class T>
void grad_into(std::vector<Array<T>>& out, Var<T> y, const std::vector<Var<T>>& xs, At at) {
  check_loss("grad", y, xs, at);
  check_results("grad", out, xs, at);
  const T one = 1;
  const Seed<T> seed{y.index(), &one};
  pull_back<T>(out, *y.record(), {&seed, 1}, xs, at);
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
  const CalledFrom here(at);
  check_loss("grad_graph", y, xs, at);
  auto adjoints = sweep_graph(y, xs, at, [](auto&&...) { return false; });
  std::vector<Var<T>> out;
  for (const auto& x : xs) {
    const Var<T>* adjoint = adjoints.of(x.index());
    out.push_back(adjoint && adjoint->record()
                      ? *adjoint
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
  const CalledFrom here(at);
  check_loss("hvp", y, xs, at);
  check_results("hvp", out, xs, at);
  check_arrays("hvp", "v", v, xs, at);
  check_distinct("hvp", xs, at);
  Record<T>& record = *y.record();
  const auto number_of = [&](int i) {  // of node i among xs; as many as there are if it is none
    return static_cast<std::size_t>(std::ranges::find(xs, i, &Var<T>::index) - xs.begin());
  };
  const Scratch<T> scratch(record);
  const std::size_t nodes = record.nodes.size(), operands_before = record.operand.size(),
                    subgraphs = record.subgraphs.size();
  std::vector<Var<T>> along;
  for (const auto& each : v) along.push_back(operand_var<T>(record, {each, at}));
  std::vector<std::pair<Var<T>, Var<T>>> inner;
  auto adjoints = sweep_graph(y, xs, at, [&](const Node<T>& node, const auto& operands, const Var<T>& g) {
    if (node.op->along == nullptr) return false;
    const int x1 = operands[1].index(), x2 = operands[2].index();
    const std::size_t k1 = number_of(x1), k2 = number_of(x2);
    if (k1 == xs.size() || k2 == xs.size()) return false;
    if (record[x1].op || record[x2].op) return false;  // its gradient goes on
    try {
      inner.push_back({g, node.op->along(operands, along[k1], along[k2])});
    } catch (const NumericalFault& e) {
      throw NumericalFault(join(node.op->name, ": in the derivative along v, ", e.what(), at));
    }
    return true;
  });
  for (std::size_t k = 0; k < xs.size(); ++k)
    if (const Var<T>* adjoint = adjoints.of(xs[k].index()); adjoint && adjoint->record())
      inner.push_back({*adjoint, along[k]});
  std::vector<Seed<T>> seeds;
  for (const auto& [a, b] : inner)
    seeds.insert(seeds.end(), {{a.index(), b.values().data()}, {b.index(), a.values().data()}});
  pull_back<T>(out, record, seeds, xs, at);
  record.nodes.resize(nodes);
  record.operand.resize(operands_before);
  record.subgraphs.resize(subgraphs);
}

#define LOWVAR_INSTANTIATE(T)                                                              \
  template class Tape<T>;                                                                  \
  template std::uint64_t detail::lent_hash(const Record<T>&, int);                         \
  template void detail::check_unchanged(const Record<T>&, int);                            \
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
