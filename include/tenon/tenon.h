// Everything for models: tensors, operations, transforms, files.
#pragma once
#include "tenon/callback.h"
#include "tenon/control.h"
#include "tenon/graph.h"
#include "tenon/io.h"
#include "tenon/jit.h"
#include "tenon/ops.h"
#include "tenon/random.h"
#include "tenon/recursion.h"
#include "tenon/tensor.h"
#include "tenon/transform.h"
#include "tenon/version.h"
