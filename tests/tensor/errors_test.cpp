// Wrong calls of every public function: an error names the operation, what it got, and the line of the call; also from
// inside grad, vmap, checkpoint and a trace.
#include <array>

#include "expect.h"
#include "tenon/nn.h"
#include "tenon/optim.h"

namespace tn {
namespace {

/// A wrong call on x: f32[2, 3], n: i64[2, 3] and b: bool[2, 3].
struct Operands {
  Tensor x, n, b;
};
struct Wrong {
  Tensor (*call)(const Operands&);
  std::vector<std::string> parts;  // "[op]" first, then what the message must hold
  Location where;
};

Wrong wrong(Tensor (*call)(const Operands&), std::vector<std::string> parts, Location at = Location::current()) {
  return {call, std::move(parts), at};
}

Tensor v(std::vector<double> values) { return cast(tensor(values), DType::f32); }
Tensor i(std::vector<i64> values) { return tensor(values); }
nn::Keys keys(0);

const Wrong kElementwise[] = {
    wrong([](const Operands& o) { return o.x + v({1, 2}); },
          {"[add]", "f32[2, 3] and f32[2]", "axis 1 (3 and 2)", "reshape"}),
    wrong([](const Operands& o) { return o.x + o.n; }, {"[add]", "f32[2, 3] and i64[2, 3]", "use cast"}),
    wrong([](const Operands& o) { return o.x + o.b; }, {"[add]", "f32[2, 3] and bool[2, 3]", "use cast"}),
    wrong([](const Operands& o) { return o.n + 0.5; }, {"[add]", "i64", "a floating number", "use cast"}),
    wrong([](const Operands& o) { return o.x - o.n; }, {"[sub]", "use cast"}),
    wrong([](const Operands& o) { return o.b * o.b; }, {"[mul]", "bool[2, 3]"}),
    wrong([](const Operands& o) { return o.n / o.n; }, {"[div]", "i64[2, 3]"}),
    wrong([](const Operands& o) { return floor_divide(o.x, v({1, 2})); }, {"[floor_divide]", "axis 1"}),
    wrong([](const Operands& o) { return o.b % o.b; }, {"[remainder]", "bool"}),
    wrong([](const Operands& o) { return pow(o.x, o.n); }, {"[pow]", "i64[2, 3]"}),
    wrong([](const Operands& o) { return maximum(o.x, o.b); }, {"[maximum]", "use cast"}),
    wrong([](const Operands& o) { return minimum(o.x, v({1, 2})); }, {"[minimum]", "axis 1"}),
    wrong([](const Operands& o) { return o.x == o.n; }, {"[equal]", "use cast"}),
    wrong([](const Operands& o) { return o.x != v({1, 2}); }, {"[not_equal]", "axis 1"}),
    wrong([](const Operands& o) { return o.x < o.n; }, {"[less]", "use cast"}),
    wrong([](const Operands& o) { return o.x <= o.n; }, {"[less_equal]", "use cast"}),
    wrong([](const Operands& o) { return o.x > o.n; }, {"[greater]", "use cast"}),
    wrong([](const Operands& o) { return o.x >= o.n; }, {"[greater_equal]", "use cast"}),
    wrong([](const Operands& o) { return o.x && o.b; }, {"[logical_and]", "f32"}),
    wrong([](const Operands& o) { return o.n || o.n; }, {"[logical_or]", "i64"}),
    wrong([](const Operands& o) { return !o.x; }, {"[logical_not]", "f32[2, 3]"}),
    wrong([](const Operands& o) { return -o.b; }, {"[neg]", "bool"}),
    wrong([](const Operands& o) { return exp(o.n); }, {"[exp]", "i64[2, 3]", "cast"}),
    wrong([](const Operands& o) { return log(o.n); }, {"[log]", "i64"}),
    wrong([](const Operands& o) { return log1p(o.b); }, {"[log1p]", "bool"}),
    wrong([](const Operands& o) { return expm1(o.n); }, {"[expm1]", "i64"}),
    wrong([](const Operands& o) { return sin(o.n); }, {"[sin]", "i64"}),
    wrong([](const Operands& o) { return cos(o.n); }, {"[cos]", "i64"}),
    wrong([](const Operands& o) { return tanh(o.n); }, {"[tanh]", "i64"}),
    wrong([](const Operands& o) { return sigmoid(o.n); }, {"[sigmoid]", "i64"}),
    wrong([](const Operands& o) { return erf(o.n); }, {"[erf]", "i64"}),
    wrong([](const Operands& o) { return sqrt(o.n); }, {"[sqrt]", "i64"}),
    wrong([](const Operands& o) { return rsqrt(o.n); }, {"[rsqrt]", "i64"}),
    wrong([](const Operands& o) { return abs(o.b); }, {"[abs]", "bool"}),
    wrong([](const Operands& o) { return sign(o.b); }, {"[sign]", "bool"}),
    wrong([](const Operands& o) { return floor(o.b); }, {"[floor]", "bool"}),
    wrong([](const Operands& o) { return ceil(o.b); }, {"[ceil]", "bool"}),
    wrong([](const Operands& o) { return square(o.b); }, {"[square]", "bool"}),
    wrong([](const Operands& o) { return reciprocal(o.n); }, {"[reciprocal]", "i64[2, 3]"}),
    wrong([](const Operands& o) { return clip(o.x, o.n, 1.0); }, {"[clip]", "use cast"}),
    wrong([](const Operands& o) { return where(o.x, o.x, o.x); }, {"[where]", "bool", "f32[2, 3]"}),
    wrong([](const Operands& o) { return where(o.b, o.x, o.n); }, {"use cast"}),
    wrong([](const Operands& o) { return where(o.b, v({1, 2}), o.x); }, {"[where]", "axis 1"}),
    wrong([](const Operands& o) { return relu(o.b); }, {"bool"}),
    wrong([](const Operands& o) { return gelu(o.n); }, {"[gelu]", "i64"}),
    wrong([](const Operands& o) { return silu(o.n); }, {"[silu]", "i64"}),
    wrong([](const Operands&) { return Tensor() + 1.0; }, {"[add]", "one without a value"}),
    wrong([](const Operands& o) { return o.n.astype(DType::i8) * 1000; }, {"[mul]", "i8", "1000", "astype"}),
    wrong([](const Operands& o) { return o.n.astype(DType::u8) < 256; }, {"[less]", "u8", "256"}),
    wrong([](const Operands&) { return zeros({Tensor().size()}); }, {"one without a value"}),
    wrong([](const Operands& o) { return zeros({o.x.size(2)}); }, {"[size]", "f32[2, 3]", "2"}),
};

const Wrong kMaking[] = {
    wrong([](const Operands&) { return tensor({{1, 2}, {3}}); }, {"[tensor]", "row 1"}),
    wrong([](const Operands&) { return tensor({1e30}, DType::i64); }, {"[tensor]", "i64", "1e+30"}),
    wrong([](const Operands&) { return Tensor(Arg(~u64{0}), DType::f32); }, {"[tensor]", "18446744073709551615"}),
    wrong([](const Operands&) { return full({2}, 1.5, DType::i32); }, {"[full]", "i32", "1.5"}),
    wrong([](const Operands&) { return full({2, 3}, tensor({1, 2})); }, {"[full]", "i64[2]", "[2, 3]"}),
    wrong([](const Operands&) { return eye(-1); }, {"[eye]", "-1"}),
    wrong([](const Operands&) { return zeros({i64{1} << 40, i64{1} << 40}); }, {"[zeros]", "63 bits", "1099511627776"}),
    wrong([](const Operands&) { return broadcast_to(ones({1}), {i64{1} << 40, i64{1} << 40}); },
          {"[broadcast_to]", "63 bits"}),
    wrong([](const Operands&) { return softmax(Tensor(1.0)); }, {"[softmax]", "f32[]", "one axis"}),
    wrong([](const Operands& o) { return set_at(o.x, {5}, 1.0); }, {"[set_at]", "f32[2, 3]", "axis 0", "5"}),
};

const Wrong kLayers[] = {
    wrong([](const Operands& o) { return nn::linear(keys, 5, 2)(o.x); }, {"[matmul]", "f32[2, 3]", "5"}),
    wrong([](const Operands& o) { return nn::sequential(nn::linear(keys, 3, 4), nn::ReLU{}, nn::layer_norm(5))(o.x); },
          {"[layer_norm]", "f32[2, 4]", "f32[5]"}),
    wrong([](const Operands& o) { return nn::conv2d(keys, 3, 4, 3)(o.x); }, {"[conv2d]", "f32[2, 3]"}),
    wrong([](const Operands&) { return nn::conv2d(keys, 3, 4, 3, {.groups = 2}).weight; }, {"[conv2d]", "2 groups"}),
    wrong([](const Operands& o) { return nn::batch_norm2d(3)(o.x, true); }, {"[batch_norm2d]", "f32[2, 3]"}),
    wrong([](const Operands& o) { return nn::batch_norm2d(4)(o.x); }, {"[batch_norm]", "f32[2, 3]"}),
    wrong([](const Operands& o) { return nn::Dropout{1.5}(o.x, random::key(0)); }, {"[dropout]", "1.5"}),
    wrong([](const Operands& o) { return nn::Dropout{0.5}(o.x, o.n); }, {"key", "i64[2, 3]"}),
    wrong([](const Operands& o) { return nn::embedding(keys, 5, 2)(o.x); }, {"[gather]", "f32[2, 3]"}),
    wrong([](const Operands& o) { return nn::multi_head_attention(keys, 6, 2)(o.x); },
          {"[multi_head_attention]", "f32[2, 3]"}),
    wrong([](const Operands&) { return nn::multi_head_attention(keys, 6, 4).in_proj_bias; },
          {"[multi_head_attention]", "6", "4"}),
    wrong([](const Operands& o) { return nn::transformer_encoder_layer(keys, 6, 2, 8)(o.x); },
          {"[multi_head_attention]", "f32[2, 3]"}),
    wrong([](const Operands& o) { return nn::mse_loss(o.x, v({1, 2, 3})); }, {"[mse_loss]", "f32[2, 3] and f32[3]"}),
    wrong([](const Operands& o) { return nn::l1_loss(o.x, v({1, 2, 3})); }, {"[l1_loss]", "f32[3]"}),
    wrong([](const Operands& o) { return nn::bce_with_logits_loss(o.x, v({1, 2, 3})); }, {"[bce_with_logits_loss]"}),
};

const Wrong kReductions[] = {
    wrong([](const Operands& o) { return sum(o.x, {.axis = 2}); }, {"[sum]", "f32[2, 3]", "2"}),
    wrong([](const Operands& o) { return prod(o.x, {.axis = -3}); }, {"[prod]", "-3"}),
    wrong([](const Operands& o) { return max(o.b); }, {"[max]", "bool"}),
    wrong([](const Operands& o) { return min(o.x, {.axis = {0, 5}}); }, {"[min]", "5"}),
    wrong([](const Operands& o) { return max(o.x(slice(0, 0)), {.axis = 0}); }, {"[max]", "f32[0, 3]", "axis 0"}),
    wrong([](const Operands& o) { return mean(o.n); }, {"[mean]", "i64"}),
    wrong([](const Operands& o) { return all(o.x); }, {"[all]", "f32"}),
    wrong([](const Operands& o) { return any(o.n); }, {"[any]", "i64"}),
    wrong([](const Operands& o) { return logsumexp(o.n); }, {"[logsumexp]", "i64"}),
    wrong([](const Operands& o) { return var(o.n); }, {"i64"}),
    wrong([](const Operands& o) { return stddev(o.x, {.axis = 7}); }, {"[stddev]", "7"}),
    wrong([](const Operands& o) { return moments(o.n).mean; }, {"[moments]", "i64"}),
    wrong([](const Operands& o) { return argmax(o.x, {.axis = 2}); }, {"[argmax]", "2"}),
    wrong([](const Operands& o) { return argmin(o.b, {.axis = 0}); }, {"[argmin]", "bool"}),
    wrong([](const Operands& o) { return argmax(o.x(slice(0, 0)), {.axis = 0}); }, {"[argmax]", "f32[0, 3]"}),
    wrong([](const Operands& o) { return cumsum(o.x, {.axis = 2}); }, {"[cumsum]", "2"}),
    wrong([](const Operands& o) { return sort(o.x, {.axis = 2}).values; }, {"[sort]", "2"}),
    wrong([](const Operands& o) { return argsort(o.x, {.axis = -3}); }, {"[argsort]", "-3"}),
    wrong([](const Operands& o) { return softmax(o.n); }, {"[softmax]", "i64"}),
    wrong([](const Operands& o) { return log_softmax(o.x, {.axis = 2}); }, {"[log_softmax]", "2"}),
    wrong([](const Operands& o) { return layer_norm(o.x, v({1, 2}), v({1, 2})); }, {"[layer_norm]", "f32[2]"}),
    wrong([](const Operands& o) { return batch_norm(o.x, v({1}), v({1}), v({1}), v({1})); },
          {"[batch_norm]", "f32[1]"}),
    wrong([](const Operands& o) { return cross_entropy(o.x, o.x); }, {"[cross_entropy]", "f32[2, 3]"}),
    wrong([](const Operands& o) { return cross_entropy(o.x, i({1, 2, 0})); }, {"[cross_entropy]", "i64[3]"}),
};

const Wrong kShapes[] = {
    wrong([](const Operands& o) { return reshape(o.x, {4, 2}); }, {"[reshape]", "f32[2, 3]", "[4, 2]"}),
    wrong([](const Operands& o) { return reshape(o.x, {-1, 4}); }, {"[reshape]", "f32[2, 3]"}),
    wrong([](const Operands& o) { return reshape(o.x, {-1, -1}); }, {"[reshape]", "-1"}),
    wrong([](const Operands& o) { return flatten(o.x, 3); }, {"[flatten]", "3"}),
    wrong([](const Operands& o) { return squeeze(o.x, 0); }, {"[squeeze]", "f32[2, 3]", "0"}),
    wrong([](const Operands& o) { return expand_dims(o.x, 5); }, {"[expand_dims]", "5"}),
    wrong([](const Operands& o) { return broadcast_to(o.x, {2, 4}); }, {"[broadcast", "f32[2, 3]", "[2, 4]"}),
    wrong([](const Operands& o) { return permute(o.x, {0, 0}); }, {"[permute]", "[0, 0]"}),
    wrong([](const Operands& o) { return permute(o.x, {0}); }, {"[permute]", "f32[2, 3]", "[0]"}),
    wrong([](const Operands& o) { return swapaxes(o.x, 0, 2); }, {"[swapaxes]", "2"}),
    wrong([](const Operands& o) { return moveaxis(o.x, 4, 0); }, {"[moveaxis]", "4"}),
    wrong([](const Operands& o) { return concat({o.x, v({1, 2})}); }, {"[concat]", "f32[2, 3]", "f32[2]"}),
    wrong([](const Operands& o) { return concat({o.x, transpose(o.x)}); }, {"[concat]", "f32[3, 2]", "axis 1"}),
    wrong([](const Operands& o) { return concat({o.x, o.b}); }, {"[concat]", "bool"}),
    wrong([](const Operands&) { return concat({}); }, {"[concat]"}),
    wrong([](const Operands& o) { return concat({o.x, o.x}, 2); }, {"[concat]", "2"}),
    wrong([](const Operands& o) { return stack({o.x, transpose(o.x)}); }, {"[stack]", "f32[3, 2]"}),
    wrong([](const Operands&) { return stack({}); }, {"[stack]"}),
    wrong([](const Operands& o) { return split(o.x, 2, 1)[0]; }, {"[split]", "3", "2"}),
    wrong([](const Operands& o) { return split(o.x, 0, 1)[0]; }, {"[split]", "0"}),
    wrong([](const Operands& o) { return pad(o.x, {1}, {1, 1}); }, {"[pad]", "f32[2, 3]"}),
    wrong([](const Operands& o) { return pad(o.x, {-3, 0}, {0, 0}); }, {"[pad]", "-3"}),
    wrong([](const Operands& o) { return flip(o.x, 2); }, {"[flip]", "2"}),
    wrong([](const Operands& o) { return tile(o.x, {2, -1}); }, {"[tile]", "-1"}),
    wrong([](const Operands& o) { return tril(v({1})) + sum(o.x); }, {"[tril]", "f32[1]"}),
    wrong([](const Operands& o) { return zeros({2, -1}) + sum(o.x); }, {"[zeros]", "-1"}),
    wrong([](const Operands& o) { return eye(-1) + sum(o.x); }, {"-1"}),
    wrong([](const Operands& o) { return linspace(0, 1, -2) + sum(o.x); }, {"[linspace]", "-2"}),
    wrong([](const Operands& o) { return arange(0, 3, 0) + o.n; }, {"[arange]", "0"}),
};

const Wrong kIndexing[] = {
    wrong([](const Operands& o) { return o.x(2); }, {"2", "f32[2, 3]"}),
    wrong([](const Operands& o) { return o.x(0, 0, 0); }, {"f32[2, 3]"}),
    wrong([](const Operands& o) { return o.x(ellipsis, ellipsis); }, {"f32[2, 3]"}),
    wrong([](const Operands& o) { return o.x(slice(0, 2, 0)); }, {"step", "0"}),
    wrong([](const Operands& o) { return o.x(v({1})); }, {"f32[1]"}),
    wrong([](const Operands& o) { return set_at(o.x, {0}, v({1, 2})); }, {"[set_at]", "f32[2]", "[3]"}),
    wrong([](const Operands& o) { return add_at(o.x, {0}, o.n); }, {"[add_at]"}),
    wrong([](const Operands& o) { return gather(o.x, o.x); }, {"[gather]", "f32[2, 3]"}),
    wrong([](const Operands& o) { return gather(o.x, o.n, 2); }, {"[gather]", "2"}),
    wrong([](const Operands& o) { return scatter(o.x, i({0}), v({1, 2})); }, {"[scatter]", "f32[2]"}),
    wrong([](const Operands& o) { return scatter_add(o.x, o.x, o.x); }, {"[scatter", "f32[2, 3]"}),
    wrong([](const Operands& o) { return dynamic_slice(o.x, i({0}), {1, 1}); }, {"[dynamic_slice]", "i64[1]"}),
    wrong([](const Operands& o) { return dynamic_slice(o.x, i({0, 0}), {3, 1}); },
          {"[dynamic_slice]", "f32[2, 3]", "3"}),
    wrong([](const Operands& o) { return dynamic_update_slice(o.x, v({1}), i({0, 0})); },
          {"[dynamic_update_slice]", "f32[2, 3]", "got 1"}),
    wrong([](const Operands& o) { return one_hot(o.x, 3); }, {"[one_hot]", "f32[2, 3]"}),
    wrong([](const Operands& o) { return one_hot(o.n, -3) + sum(o.x); }, {"[one_hot]", "-3"}),
    wrong([](const Operands& o) { return take_last(o.x, o.n); }, {"[take_last]", "i64[2, 3]"}),
};

const Wrong kContractions[] = {
    wrong([](const Operands& o) { return matmul(o.x, o.x); },
          {"[matmul]", "3 on the last axis of f32[2, 3]", "2 on the last but one axis"}),
    wrong([](const Operands& o) { return matmul(o.x, Tensor(1.0f)); }, {"[matmul]", "f32[]"}),
    wrong([](const Operands& o) { return matmul(o.x, transpose(o.n)); }, {"[matmul]", "i64[3, 2]", "use cast"}),
    wrong([](const Operands& o) { return einsum("ij,jk->ik", o.x, o.x); }, {"[einsum]", "j", "3", "2"}),
    wrong([](const Operands& o) { return einsum("ij->ijk", o.x); }, {"[einsum]", "k"}),
    wrong([](const Operands& o) { return einsum("ijk->i", o.x); }, {"[einsum]", "term 0", "2 axes"}),
    wrong([](const Operands& o) { return einsum("i?->i", o.x); }, {"[einsum]", "?"}),
    wrong([](const Operands& o) { return einsum("ij", o.x, o.x); }, {"[einsum]", "2"}),
    wrong([](const Operands& o) { return conv2d(o.x, o.x); }, {"[conv", "f32[2, 3]"}),
    wrong([](const Operands& o) { return conv2d(reshape(o.x, {1, 2, 1, 3}), ones({4, 3, 1, 1})); },
          {"[conv", "f32[1, 2, 1, 3]", "f32[4, 3, 1, 1]"}),
    wrong([](const Operands& o) { return conv2d(reshape(o.x, {1, 2, 1, 3}), ones({4, 2, 3, 3})); },
          {"[conv", "f32[4, 2, 3, 3]"}),
    wrong([](const Operands& o) { return conv2d(reshape(o.x, {1, 2, 1, 3}), ones({4, 2, 1, 1}), {.stride = 0}); },
          {"[conv", "0"}),
    wrong([](const Operands& o) { return conv2d(reshape(o.x, {1, 2, 1, 3}), ones({3, 1, 1, 1}), {.groups = 2}); },
          {"[conv", "2"}),
    wrong([](const Operands& o) { return max_pool2d(o.x); }, {"[max_pool]", "f32[2, 3]"}),
    wrong([](const Operands& o) { return avg_pool2d(reshape(o.x, {1, 2, 1, 3})); }, {"[avg_pool]", "axis 2"}),
    wrong([](const Operands& o) { return attention(o.x, o.x, v({1})); }, {"[attention]", "f32[1]"}),
    wrong([](const Operands& o) { return attention(o.x, ones({4, 2}), ones({4, 2})); }, {"[attention]", "f32[4, 2]"}),
};

const Wrong kOthers[] = {
    wrong([](const Operands& o) { return random::uniform(o.x, {2}); }, {"f32[2, 3]"}),
    wrong([](const Operands& o) { return random::split(random::key(1), -1)(0) + sum(o.n); }, {"-1"}),
    wrong([](const Operands& o) { return random::bernoulli(random::key(1), o.n, {2, 3}); }, {"i64[2, 3]"}),
    wrong([](const Operands& o) { return random::normal(random::key(1), {2}, {.dtype = DType::i64}) + o.n; }, {"i64"}),
    wrong(
        [](const Operands& o) {
          return cond(o.x, [](const Tensor& a) { return a; }, [](const Tensor& a) { return a; }, o.x);
        },
        {"[cond]", "f32[2, 3]", "bool"}),
    wrong(
        [](const Operands& o) {
          return cond(any(o.b), [](const Tensor& a) { return a; }, [](const Tensor& a) { return sum(a); }, o.x);
        },
        {"[cond]", "f32[2, 3]", "f32[]"}),
    wrong(
        [](const Operands& o) {
          return scan([](const Tensor& c, const Tensor& e) { return std::pair{sum(c) + e, c}; }, o.x, o.x).first;
        },
        {"[scan]", "f32[2, 3]"}),
    wrong(
        [](const Operands& o) {
          return scan([](const Tensor& c, const Tensor& e) { return std::pair{c + e, c}; }, Tensor(0.f), sum(o.x))
              .first;
        },
        {"[scan]", "f32[]"}),
    wrong(
        [](const Operands& o) {
          return while_loop([](const Tensor& c) { return c; }, [](const Tensor& c) { return c; }, o.x, 3);
        },
        {"[while]", "f32[2, 3]"}),
    wrong(
        [](const Operands& o) {
          return while_loop([](const Tensor& c) { return sum(c) < 1.0; }, [](const Tensor& c) { return sum(c); }, o.x,
                            3);
        },
        {"[while]", "f32[2, 3]", "f32[]"}),
    wrong([](const Operands& o) { return check(o.x, "positive"), o.x; }, {"[assert]", "f32[2, 3]"}),
    wrong([](const Operands& o) { return grad([](const Tensor& a) { return a * 2.0; })(o.x); }, {"f32[2, 3]"}),
    wrong([](const Operands& o) { return grad([](const Tensor& a) { return sum(a); })(o.n); }, {"[grad]", "i64[]"}),
    wrong([](const Operands& o) { return vmap([](const Tensor& a) { return a; })(sum(o.x)); }, {"[vmap]", "f32[]"}),
    wrong(
        [](const Operands& o) {
          return vmap([](const Tensor& a, const Tensor& c) { return a + sum(c); })(o.x, transpose(o.x));
        },
        {"[vmap]", "2", "3"}),
    wrong([](const Operands& o) { return jvp([](const Tensor& a) { return a; })(o.x, v({1})).first; },
          {"[jvp]", "f32[1]"}),
    wrong([](const Operands& o) { return vjp([](const Tensor& a) { return a; })(o.x).second(v({1})); },
          {"[vjp]", "f32[1]"}),
    wrong([](const Operands& o) { return o.x + static_cast<double>(o.n.size(2)); }, {"[size]", "i64[2, 3]", "2"}),
    wrong([](const Operands& o) { return o.x + static_cast<double>(Tensor().size()); }, {"[type]"}),
    wrong([](const Operands& o) { return o.x + static_cast<double>(Tensor().dtype()); }, {"[type]"}),
};

Operands operands() {
  return {v({1, 2, 3, 4, 5, 6}).reshape({2, 3}), i({1, 2, 3, 4, 5, 6}).reshape({2, 3}),
          v({1, 2, 3, 4, 5, 6}).reshape({2, 3}) > 2.0};
}

/// What is wrong with the message of one call, run by `around`; empty when it is as it should be.
template <class F>
std::string fault(const Wrong& wrong, F around) {
  std::string line = "errors_test.cpp:";
  try {
    around();
    return "no error";
  } catch (const InternalError& e) { return std::string("an internal error: ") + e.what(); } catch (const Error& e) {
    std::string text = e.what();
    std::vector<std::string> parts = wrong.parts;
    parts.insert(parts.end(), {"expected ", ", got "});
    for (const std::string& part : parts)
      if (text.find(part) == text.npos) return "no '" + part + "' in: " + text;
    if (text[0] != '[') return "no operation first: " + text;
    auto at = text.find(line);
    if (at == text.npos) return "no line in: " + text;
    auto number = std::strtoul(text.c_str() + at + line.size(), nullptr, 10);
    if (number + 4 < wrong.where.line() || number > wrong.where.line() + 4) return "another line in: " + text;
    return "";
  } catch (const std::exception& e) { return std::string("another exception: ") + e.what(); }
}

class Errors : public testing::TestWithParam<std::span<const Wrong>> {};

TEST_P(Errors, NameOperandsAndLine) {
  Operands o = operands();
  for (const Wrong& wrong : GetParam())
    EXPECT_EQ(fault(wrong, [&] { wrong.call(o); }), "") << "line " << wrong.where.line();
}

TEST_P(Errors, FromInsideTransforms) {
  Operands o = operands();
  for (const Wrong& wrong : GetParam()) {
    auto f = [&](const Tensor& x) { return sum(cast(wrong.call({x, o.n, o.b}), DType::f32)); };
    auto rows = [&](const Tensor& x) { return f(broadcast_to(x, {2, 3})); };
    Tensor leaf = o.x.detach();
    leaf.requires_grad();
    std::array<std::string, 6> faults{fault(wrong, [&] { grad(f)(o.x); }),
                                      fault(wrong, [&] { checkpoint(f)(o.x); }),
                                      fault(wrong, [&] { vmap(rows)(ones({4, 3})); }),
                                      fault(wrong, [&] { vmap(grad(rows))(ones({4, 3})); }),
                                      fault(wrong, [&] { trace(f, o.x); }),
                                      fault(wrong, [&] { f(leaf).backward(); })};
    for (const std::string& text : faults) EXPECT_EQ(text, "") << "line " << wrong.where.line();
  }
}

INSTANTIATE_TEST_SUITE_P(Of, Errors,
                         testing::Values(std::span<const Wrong>(kElementwise), std::span<const Wrong>(kReductions),
                                         std::span<const Wrong>(kShapes), std::span<const Wrong>(kIndexing),
                                         std::span<const Wrong>(kContractions), std::span<const Wrong>(kOthers),
                                         std::span<const Wrong>(kMaking), std::span<const Wrong>(kLayers)));

/// Optimisers: on a model of one parameter f32[2].
struct One {
  Tensor w = v({1, 2});
};
Tensor stepped(One model, const One& gradient, Location at = Location::current()) {
  optim::adam(One()).update(model, gradient, at);
  return model.w;
}
const Wrong kOptimisers[] = {
    wrong([](const Operands&) { return stepped({}, {Tensor()}); }, {"[adam]", "1 parameters", "0"}),
    wrong([](const Operands& o) { return stepped({}, {o.x}); }, {"[adam]", "parameter 0", "f32[2]", "f32[2, 3]"}),
    wrong([](const Operands& o) { return stepped({o.x}, {o.x}); },
          {"[adam]", "parameter 0", "f32[2]", "f32[2, 3]", "make a new one"}),
    wrong([](const Operands&) { return optim::adam(One(), {.beta1 = 1.5}).lr; }, {"[adam]", "1.5"}),
    wrong([](const Operands&) { return optim::sgd(One(), {.lr = -1}).lr; }, {"[sgd]", "-1"}),
    wrong([](const Operands&) { return optim::sgd(One(), {.nesterov = true}).lr; }, {"[sgd]", "momentum 0"}),
    wrong([](const Operands&) { return optim::clip_grad_norm({}, 1.0); }, {"[clip_grad_norm]", "none"}),
    wrong(
        [](const Operands& o) {
          Tensor g = o.x;
          optim::clip_grad_value({&g}, -1.0);
          return g;
        },
        {"[clip_grad_value]", "-1"}),
};
INSTANTIATE_TEST_SUITE_P(OfOptimisers, Errors, testing::Values(std::span<const Wrong>(kOptimisers)));

/// The line of an error that shows when the program runs.
TEST(RunErrors, NameTheirLine) {
  auto text_of = [](auto f) {
    try {
      f();
      return std::string("no error");
    } catch (const Error& e) { return std::string(e.what()); }
  };
  auto names = [](const std::string& text, int line) {
    return text.find("errors_test.cpp:" + std::to_string(line)) != text.npos;
  };
  int line = 0;
  auto positive = [&](const Tensor& x) {
    line = __LINE__ + 1;
    check(x > 0.0, "expected positive numbers");
    return x * x;
  };
  std::string failed = text_of([&] { grad(positive)(Tensor(-1.0)).eval(); });
  EXPECT_TRUE(names(failed, line)) << failed;
  auto jitted = jit([](const Tensor& x) {
    check(x > 0.0, "in jit");
    return x;
  });
  EXPECT_TRUE(names(text_of([&] { jitted(Tensor(-1.0)).eval(); }), __LINE__ - 3));

  auto powers = [&](const Tensor& x) {
    line = __LINE__ + 1;
    return while_loop([](const Tensor& s) { return s < 10.0; }, [&](const Tensor& s) { return s * x; }, x, 3);
  };
  for (const std::string& text :
       {text_of([&] { powers(Tensor(1.5)).eval(); }), text_of([&] { grad(powers)(Tensor(1.5)).eval(); })}) {
    EXPECT_TRUE(names(text, line)) << text;
    EXPECT_EQ(text.find("[while] expected at most 3 steps (the bound)"), 0u) << text;
  }

  line = __LINE__ + 1;
  auto only_reverse = custom_vjp([](const Tensor& x) { return std::pair(exp(x), exp(x)); },
                                 [](const Tensor& r, const Tensor& c) { return c * r; });
  EXPECT_TRUE(names(text_of([&] { jvp(only_reverse)(Tensor(1.0), Tensor(1.0)).second.eval(); }), line));
}

/// What no machine holds is refused, not promised.
TEST(RunErrors, MoreMemoryThanTheMachineHas) {
  Tensor huge = zeros({i64{1} << 22, i64{1} << 22});
  try {
    huge.eval();
    FAIL() << "64 TiB";
  } catch (const Error& e) { EXPECT_NE(std::string(e.what()).find("the machine has"), std::string::npos) << e.what(); }
}

}  // namespace
}  // namespace tn
