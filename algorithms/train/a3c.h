// Asynchronous advantage actor-critic (Mnih et al. 2016, algorithm S3).
#pragma once

#include "algorithms/train/training.h"

namespace lowvar {

struct A3cOptions : OnPolicyOptions {
  int workers = 2;  // threads that run at once, asynchronously, on shared parameters

  template <class F>
  void visit(F&& f) {
    OnPolicyOptions::visit(f);
    f("workers", workers);
  }
};

A3cOptions a3c_recipe(const World& world);
/// Throws Error naming the first option that is wrong.
void check(const A3cOptions& options, const World& world);

/// Every random number is a function of the seed and of the worker, but what workers write to the shared
/// parameters depends on timing; one worker has the same bits each time.
std::unique_ptr<Algorithm> algorithm(const A3cOptions& options);

}  // namespace lowvar
