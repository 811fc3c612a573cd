// All that a loss needs: differentiation, operations, composites and the checker of derivatives; layers and
// networks, distributions and optimiser steps; arrays and random numbers.
#pragma once

#include "autograd/autograd.h"
#include "autograd/gradcheck.h"
#include "core/random.h"
#include "nn/distributions.h"
#include "nn/layers.h"
#include "nn/mlp.h"
#include "nn/optim.h"
