// Products, systems and factorisations at their edges. That their rules are right is test_ops.cpp's.
#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include "autograd/autograd.h"
#include "autograd/op.h"
#include "core/random.h"
#include "tests/arrays.h"

namespace lowvar {
namespace {

const double nan = std::numeric_limits<double>::quiet_NaN();

void expect_near(const Array<double>& a, const Array<double>& b, double tolerance) {
  ASSERT_EQ(shape(a), shape(b));
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a.data()[i], b.data()[i], tolerance) << "at " << i;
}

/// X X' + I.
template <class T>
Array<T> positive_definite(int n) {
  const auto x = random_array<T>(n, n, "positive");
  Tape<T> tape;
  const auto X = tape.constant(x);
  auto A = matmul_nt(X, X).value();
  for (int i = 0; i < n; ++i) A(i, i) += 1;
  return A;
}

void expect_error(const std::string& part, const std::function<void()>& mistake) {
  try {
    mistake();
    FAIL() << part << ": no error";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("test_matrices.cpp"), std::string::npos) << e.what();
  }
}

TEST(Matrices, TakeAnArrayBesideAVar) {
  const auto a = random_array(4, 4, "a"), b = random_array(4, 3, "b"), row = random_array(1, 3, "row"),
             c = random_array(2, 3, "c");
  Tape<double> tape;
  const auto A = tape.constant(a), B = tape.parameter(b), bias = tape.parameter(row);
  const auto same = [&](Var<double> with_array, Var<double> with_var) {
    EXPECT_EQ(with_array.value(), with_var.value());
    EXPECT_EQ(grad(sum(with_array), B), grad(sum(with_var), B));
  };
  same(matmul(a, B), matmul(A, B));
  same(matmul_tn(a, B), matmul_tn(A, B));
  same(matmul_nt(B, c), matmul_nt(B, tape.constant(c)));
  same(linear(a, B, bias), linear(A, B, bias));
  same(linear(a, B, row), linear(A, B, bias));
  same(solve(a, B), solve(A, B));
  same(solve_transposed(a, B), solve_transposed(A, B));
  same(triangular_solve(a, B), triangular_solve(A, B));
  same(triangular_solve_transposed(a, B, Triangle::upper),
       triangular_solve_transposed(A, B, Triangle::upper));
  same(batched_matmul_tn(a, B, 2), batched_matmul_tn(A, B, 2));
}

TEST(Matrices, AnArrayIsDataOnlyWhereRowsAreSamples) {
  const auto x = random_array(5, 3, "x"), w = random_array(3, 2, "w"), c = random_array(2, 2, "c");
  const std::vector<int> offset{0, 1, 2, 3, 4, 5};
  const auto ones = full<double>(5, 1, 1.0);
  Tape<double> tape;
  const auto W = tape.parameter(w);
  const auto y = sum_rows(tanh(matmul(matmul(x, W), c)));
  const auto of_var = sum_rows(tanh(matmul(matmul(tape.data(x), W), tape.constant(c))));
  EXPECT_EQ(grouped_grad(y, {W}, offset, ones), grouped_grad(of_var, {W}, offset, ones));
  EXPECT_EQ(matmul_tn(w, W).node().data_rows, Node<double>::no_data);
  EXPECT_EQ(solve(positive_definite<double>(3), W).node().data_rows, Node<double>::no_data);
}

TEST(Batched, ProductsAreThoseOfTheGroups) {
  const auto a = random_array(6, 4, "a"), b = random_array(12, 2, "b"), c = random_array(9, 4, "c"),
             d = random_array(6, 5, "d");
  Tape<double> tape;
  const auto A = tape.parameter(a), B = tape.parameter(b), C = tape.parameter(c), D = tape.parameter(d);
  const auto part = [](Var<double> x, int k) {
    return row_slice(x, k * x.rows() / 3, (k + 1) * x.rows() / 3);
  };
  std::vector<Var<double>> nn, nt, tn;
  for (int k = 0; k < 3; ++k) {
    nn.push_back(matmul(part(A, k), part(B, k)));
    nt.push_back(matmul_nt(part(A, k), part(C, k)));
    tn.push_back(matmul_tn(part(A, k), part(D, k)));
  }
  EXPECT_EQ(batched_matmul(A, B, 3).value(), concatenate_rows(nn).value());
  EXPECT_EQ(batched_matmul_nt(A, C, 3).value(), concatenate_rows(nt).value());
  EXPECT_EQ(batched_matmul_tn(A, D, 3).value(), concatenate_rows(tn).value());
  expect_error("batched_matmul: the rows of 6x4 and 12x2 do not make 4 batches",
               [&] { batched_matmul(A, B, 4); });
  expect_error("batched_matmul: the rows of 6x4 and 12x2 do not make 0 batches",
               [&] { batched_matmul(A, B, 0); });
  expect_error("batched_matmul: shapes 2x4 and 2x5 of each of 3 batches", [&] { batched_matmul(A, D, 3); });
}

TEST(Batched, GroupsOfRowsThatCutABatchGetTheirOwnGradients) {
  const auto x = random_array(6, 2, "x"), w = random_array(4, 3, "w");  // two batches of three rows
  for (const std::vector<int>& offset : {std::vector<int>{0, 1, 5, 5, 6}, std::vector<int>{0, 3, 6}}) {
    Tape<double> tape;
    const auto W = tape.parameter(w), X = tape.data(x);
    const auto W_nt = concatenate_rows(std::vector{column_slice(W, 0, 2), column_slice(W, 1, 3)});
    for (const auto& y :
         {sum_rows(tanh(batched_matmul(X, W, 2))), sum_rows(tanh(batched_matmul_nt(X, W_nt, 2)))}) {
      const auto g = grouped_grad(y, {W}, offset, full<double>(6, 1, 1.0));
      for (std::size_t k = 0; k + 1 < offset.size(); ++k) {
        const auto alone = grad(sum(row_slice(y, offset[k], offset[k + 1])), W);
        for (std::size_t j = 0; j < w.size(); ++j)
          EXPECT_NEAR(g(k, j), alone.data()[j], 1e-14) << "group " << k << ", entry " << j;
      }
    }
  }
}

TEST(Batched, SayHowGroupsGoThrough) {
  const auto a = random_array(6, 4, "a"), b = random_array(8, 2, "b");  // batches of 3 rows and of 4
  Tape<double> tape;
  const auto A = tape.data(a), B = tape.data(b);
  const auto regroup = [&](Var<double> y, int i, std::vector<int> of_y) {
    Record<double>& record = *y.record();
    const std::span<const int> operands = record.operands(y.index());
    const Node<double>* x[] = {&record[operands[0]], &record[operands[1]]};
    const Frame<double> f{&y.node(), x, &record.arena};
    std::vector<int> of_x(of_y.size());
    return y.node().op->regroup(f, i, of_y, of_x) ? of_x : std::vector<int>{-1};
  };
  using Rows = std::vector<int>;
  const auto y = batched_matmul(A, B, 2);
  EXPECT_EQ(regroup(y, 0, {0, 3, 3, 6}), (Rows{0, 3, 3, 6}));
  EXPECT_EQ(regroup(y, 1, {0, 3, 3, 6}), (Rows{0, 4, 4, 8}));
  EXPECT_EQ(regroup(y, 0, {0, 2, 6}), (Rows{0, 2, 6}));
  EXPECT_EQ(regroup(y, 1, {0, 2, 6}), Rows{-1});
  const auto z = batched_matmul_tn(A, batched_matmul(A, B, 2), 2);  // batches of 4 rows
  EXPECT_EQ(regroup(z, 0, {0, 4, 8}), (Rows{0, 3, 6}));
  EXPECT_EQ(regroup(z, 1, {0, 4, 8}), (Rows{0, 3, 6}));
  EXPECT_EQ(regroup(z, 0, {0, 3, 8}), Rows{-1});
}

TEST(Batched, GroupsThatMeetInABatchGetTheirOwnGradients) {
  const auto x = random_array(12, 4, "x"), q = random_array(4, 3, "q"), k = random_array(4, 3, "k"),
             v = random_array(4, 2, "v");
  const std::vector<int> offset{0, 3, 9, 12};  // of four sequences of three rows
  const auto attention = [](Var<double> rows, const std::vector<Var<double>>& p) {
    const int sequences = rows.rows() / 3;
    const auto scores = batched_matmul_nt(matmul(rows, p[0]), matmul(rows, p[1]), sequences);
    return sum_rows(tanh(batched_matmul(softmax(scores), matmul(rows, p[2]), sequences)));
  };
  Tape<double> tape;
  const std::vector<Var<double>> p{tape.parameter(q), tape.parameter(k), tape.parameter(v)};
  const auto y = attention(tape.data(x), p);
  const auto g = grouped_grad(y, p, offset, full<double>(12, 1, 1.0));
  for (std::size_t group = 0; group + 1 < offset.size(); ++group) {
    std::size_t j = 0;
    for (const auto& alone : grad(sum(attention(tape.data(x, offset[group], offset[group + 1]), p)), p))
      for (const double each : alone) EXPECT_NEAR(g(group, j++), each, 1e-13) << "group " << group;
  }
  EXPECT_THROW(grouped_grad(y, p, std::vector<int>{0, 2, 12}, full<double>(12, 1, 1.0)), Error);
}

TEST(Cholesky, FactorsTheLowerTriangle) {
  for (const int n : {0, 1, 2, 7, 100}) {
    const auto A = positive_definite<double>(n);
    auto lower = A;
    for (int i = 0; i < n; ++i)
      for (int j = i + 1; j < n; ++j) lower(i, j) = nan;
    Tape<double> tape;
    const auto L = cholesky(tape.parameter(lower));
    expect_near(matmul_nt(L, L).value(), A, 1e-12 * (n + 1));
    EXPECT_EQ(tril(L).value(), L.value());
    EXPECT_NEAR(cholesky_log_det(L).item(), log_det(tape.constant(A)).item(), 1e-11);
  }
}

TEST(Cholesky, RefusesWhatIsNotPositiveDefinite) {
  const Array<double> indefinite = {{1, 2}, {2, 1}}, singular = {{1, 1}, {1, 1}}, negative = {{-1.0}};
  Tape<double> tape;
  for (const auto* a : {&indefinite, &singular})
    expect_error("cholesky: a matrix of 2 rows is not positive definite: pivot 2 is not positive",
                 [&] { cholesky(tape.parameter(*a)); });
  expect_error("pivot 1 is not positive", [&] { cholesky(tape.parameter(negative)); });
  const Array<double> flat = zeros<double>(2, 3);
  expect_error("cholesky: needs a square matrix, got 2x3", [&] { cholesky(tape.parameter(flat)); });
  expect_error("eigh: needs a square matrix of at least one row, got 2x3",
               [&] { eigh(tape.parameter(flat)); });
}

TEST(Cholesky, GradientIsSymmetric) {
  const auto a = positive_definite<double>(4), w = random_array(4, 4, "w");
  const auto g = grad([&](Var<double> A) { return dot(cholesky(A), w); }, a);
  EXPECT_EQ(g, Array<double>(xt::transpose(g)));
  const auto d = grad([&](Var<double> A) { return cholesky_log_det(cholesky(A)); }, a);
  expect_near(d, grad([&](Var<double> A) { return log_det(A); }, a), 1e-13);
}

TEST(TriangularSolve, ReadsOneTriangle) {
  for (const Triangle of : {Triangle::lower, Triangle::upper}) {
    auto full = random_array(5, 5, "full"), half = full;
    for (int i = 0; i < 5; ++i)
      for (int j = 0; j < 5; ++j) {
        if (i == j) full(i, j) = half(i, j) = 3;
        if (of == Triangle::lower ? j > i : j < i) full(i, j) = nan, half(i, j) = 0;
      }
    const auto b = random_array(5, 2, "b");
    Tape<double> tape;
    const auto A = tape.parameter(full), H = tape.parameter(half), B = tape.constant(b);
    expect_near(matmul(H, triangular_solve(A, B, of)).value(), b, 1e-14);
    expect_near(matmul_tn(H, triangular_solve_transposed(A, B, of)).value(), b, 1e-14);
    const auto g = grad(sum(triangular_solve(A, B, of)), A);
    const auto h = grad(sum(solve(H, B)), H);
    for (int i = 0; i < 5; ++i)
      for (int j = 0; j < 5; ++j)
        EXPECT_NEAR(g(i, j), (of == Triangle::lower ? j > i : j < i) ? 0 : h(i, j), 1e-14);
  }
  const Array<double> singular = {{1, 0}, {5, 0}}, b = {{1.0}, {1.0}};
  Tape<double> tape;
  const auto A = tape.parameter(singular), B = tape.parameter(b);
  expect_error("triangular_solve: a linear system of 2 equations is singular: pivot 2 is zero",
               [&] { triangular_solve(A, B); });
  expect_error("triangular_solve_transposed: A 2x2 must be square with as many rows as B 1x2",
               [&] { triangular_solve_transposed(A, transpose(B)); });
}

TEST(Eigh, Diagonalises) {
  for (const int n : {1, 2, 6, 80}) {
    const auto a = random_array(n, n, "a");
    Tape<double> tape;
    const auto X = tape.parameter(a), A = X + transpose(X);
    const auto [l, V] = eigh(tril(A));  // the upper triangle is not read
    expect_near(matmul(A, V).value(), (V * l).value(), 1e-12 * n);
    Array<double> identity = zeros<double>(n, n);
    for (int i = 0; i < n; ++i) identity(i, i) = 1;
    expect_near(matmul_tn(V, V).value(), identity, 1e-13 * n);
    const auto v = V.value();
    for (int j = 0; j < n; ++j) {
      EXPECT_LE(l.value()(0, std::max(0, j - 1)), l.value()(0, j));
      double most = 0;
      for (int i = 0; i < n; ++i)
        if (std::abs(v(i, j)) > std::abs(most)) most = v(i, j);
      EXPECT_GT(most, 0) << "vector " << j;
    }
  }
}

TEST(Eigh, EqualEigenvaluesHaveGradientsAndTheirVectorsNone) {
  Array<double> twice = {{2, 0, 0}, {0, 2, 0}, {0, 0, 5}};
  // tr A^2 = sum l^2 has the gradient 2 A.
  expect_near(grad([](Var<double> A) { return sum(square(eigh(A).values)); }, twice), 2 * twice, 1e-14);
  const auto refused = [](auto&& f) {
    try {
      f();
      FAIL() << "no error";
    } catch (const Error& e) {
      EXPECT_EQ(std::string(e.what()).find("eigh: eigenvalues 0 and 1 are both 2, and the vectors of equal "
                                           "eigenvalues have no derivative"),
                0u)
          << e.what();
    }
  };
  const auto first = [](Var<double> A) { return sum(column_slice(eigh(A).vectors, 0, 1)); };
  refused([&] { grad(first, twice); });
  refused([&] { hvp([](Var<double> A) { return sum(square(eigh(A).values)); }, twice, twice); });
  twice(0, 0) += 1e-15;  // equal but for rounding
  refused([&] { grad(first, twice); });
  // The vector of the eigenvalue that stands alone has one.
  const auto alone = [](Var<double> A) { return sum(column_slice(eigh(A).vectors, 2, 3)); };
  expect_near(grad(alone, twice), Array<double>{{0, 0, 1 / 6.}, {0, 0, 1 / 6.}, {1 / 6., 1 / 6., 0}}, 1e-14);
}

TEST(Factorisations, ANaNOrAnInfinityMakesAllNaN) {
  for (const double bad : {nan, std::numeric_limits<double>::infinity()}) {
    auto a = positive_definite<double>(3);
    a(2, 1) = bad;
    Tape<double> tape;
    const auto A = tape.parameter(a);
    for (const auto& y : {cholesky(A), eigh(A).values, eigh(A).vectors})
      for (const double v : y.values()) EXPECT_TRUE(std::isnan(v));
  }
}

template <class T>
void expect_same_bits_for_any_number_of_threads() {
  const int before = omp_get_max_threads();
  const auto a = positive_definite<T>(200), b = random_array<T>(200, 30, "b");
  const auto run = [&] {
    Tape<T> tape;
    const auto A = tape.parameter(a), B = tape.parameter(b);
    const auto L = cholesky(A);
    const auto [l, V] = eigh(A);
    const auto y = sum(square(triangular_solve(L, B))) + sum(l * V) + sum(batched_matmul_nt(B, B, 10));
    std::vector<T> out{y.item()};
    for (const auto& g : grad(y, std::vector<Var<T>>{A, B})) out.insert(out.end(), g.begin(), g.end());
    return out;
  };
  omp_set_num_threads(1);
  const auto one = run();
  for (const int threads : {2, 4}) {
    omp_set_num_threads(threads);
    const auto many = run();
    EXPECT_EQ(std::memcmp(one.data(), many.data(), one.size() * sizeof(T)), 0) << threads << " threads";
  }
  omp_set_num_threads(before);
}

TEST(Factorisations, SameBitsForAnyNumberOfThreads) {
  expect_same_bits_for_any_number_of_threads<float>();
  expect_same_bits_for_any_number_of_threads<double>();
}

}  // namespace
}  // namespace lowvar
