// loss.backward(): parameters are leaves of level 1, the outermost; the slice from them to the loss is cut,
// differentiated and put back as one pending call whose gradients are added up, pending too.
#include "tensor/evaluate.h"
#include "tensor/record.h"
#include "tensor/trace.h"
#include "transform/transform.h"

namespace tn {

namespace {

/// The leaves of level 1 a value was computed from.
std::vector<Tensor> parameters_of(Pending* root) {
  std::vector<Tensor> found;
  std::lock_guard lock(nodes_mutex());
  u32 mark = next_mark();
  std::vector<Pending*> stack{root};
  root->mark = mark;
  while (!stack.empty()) {
    Pending* p = stack.back();
    stack.pop_back();
    if (p->level != kBackwardLevel) continue;
    if (p->is(kLeaf)) {
      found.push_back(shared_handle(p));
      continue;
    }
    for (u32 i = 0; i < p->operand_count; ++i)
      if (Pending* c = p->operands()[i]; c->mark != mark) {
        c->mark = mark;
        stack.push_back(c);
      }
  }
  return found;
}

Tensor value_behind(const Tensor& leaf) { return shared_handle(leaf.node()->few[0]); }

void accumulate(Pending* leaf, const Tensor& gradient, const Location& where) {
  Tensor total = gradient;
  if (leaf->gradient) {
    Tensor before = handle(leaf->gradient);
    leaf->gradient = nullptr;
    Arg a(before, where), b(gradient, where);
    total = elementwise(the<"add">(), {&a, &b});
  }
  retain(total.node());
  leaf->gradient = total.node();
}

}  // namespace

Tensor& Tensor::requires_grad(Location at) {
  Pending* value = node_of(*this, "requires_grad", at);
  if (!is_float(value->type.dtype()))
    fail("requires_grad", "expected a floating tensor, got " + to_string(value->type), at);
  if (value->level)
    fail("requires_grad", "expected a tensor that was not computed from parameters or in a transform; detach it first",
         at);
  Pending* leaf = new_node(value->type, at);
  leaf->flags = kLeaf;
  leaf->level = kBackwardLevel;
  leaf->operand_count = 1;
  leaf->few[0] = value;  // this handle's reference
  leaf->depth.store(value->depth.load(std::memory_order_relaxed), std::memory_order_relaxed);
  node_ = leaf;
  return *this;
}

void Tensor::backward(Location at) const {
  Pending* root = node_of(*this, "backward", at);
  if (root->type.rank() || !is_float(root->type.dtype()))
    fail("backward",
         "expected a floating scalar, got " + to_string(root->type) + "; reduce it, for example by sum or mean", at);
  std::vector<Tensor> leaves = parameters_of(root);
  if (leaves.empty())
    fail("backward",
         "expected a value computed from a parameter, got one that is not; call requires_grad() on the "
         "tensors to differentiate by, before using them",
         at);
  Cut cut = cut_backward(leaves, *this, at);
  Mask wrt(cut.graph->input_count(), false);
  std::fill(wrt.begin(), wrt.begin() + static_cast<std::ptrdiff_t>(leaves.size()), true);
  std::vector<Tensor> in;
  for (const Tensor& leaf : leaves) in.push_back(value_behind(leaf));
  in.insert(in.end(), cut.captures.begin(), cut.captures.end());
  in.push_back(tensor_of(Arg(1.0, at), dtype()));
  std::vector<Tensor> out = call_graph(vjp_graph(cut.graph, wrt), in, at);
  for (size_t i = 0; i < leaves.size(); ++i) accumulate(leaves[i].node(), out[i + 1], at);
}

Tensor Tensor::grad() const {
  if (!node_ || !node_->is(kLeaf) || !node_->gradient) return {};
  return shared_handle(node_->gradient);
}

void Tensor::zero_grad() {
  if (!node_ || !node_->is(kLeaf) || !node_->gradient) return;
  release(node_->gradient);
  node_->gradient = nullptr;
}

Tensor Tensor::detach() const {
  if (!node_) return {};
  if (node_->level != kBackwardLevel)
    return node_->level ? apply1(the<"stop_gradient">(), {*this}, {}, node_->where) : *this;
  if (node_->is(kLeaf)) return value_behind(*this);
  Pending* p = new_operation(the<"stop_gradient">(), {&node_, 1}, node_->type, {}, node_->where);
  p->level = 0;
  return handle(p);
}

}  // namespace tn
