// The scalar table in LLVM IR, one emission an op, with exactly the meaning written beside it in ir/scalar.h: nothing
// here may be undefined for any operand, since undefined is what differs between machines.
#include <llvm/IR/IntrinsicsX86.h>

#include <cmath>

#include "backend/cpu/emitter.h"
#include "base/array.h"
#include "tenon/error.h"

namespace tn::cpu {

using loops::ScalarOp;
using Builder = llvm::IRBuilder<>;
using llvm::Constant;
using llvm::FixedVectorType;

llvm::Type* element_type(llvm::LLVMContext& context, DType d) {
  switch (d) {
    case DType::f64: return llvm::Type::getDoubleTy(context);
    case DType::f32: return llvm::Type::getFloatTy(context);
    case DType::boolean: return llvm::Type::getInt1Ty(context);
    default: return llvm::Type::getIntNTy(context, static_cast<unsigned>(bits(d)));
  }
}

llvm::Type* memory_type(llvm::LLVMContext& context, DType d) {
  return d == DType::boolean ? llvm::Type::getInt8Ty(context) : element_type(context, d);
}

static int length_of(Value* v) {
  auto* t = llvm::dyn_cast<FixedVectorType>(v->getType());
  return t ? static_cast<int>(t->getNumElements()) : 1;
}

/// `element` for each lane of `v`.
static llvm::Type* shaped(llvm::Type* element, Value* v) {
  auto* t = llvm::dyn_cast<FixedVectorType>(v->getType());
  return t ? FixedVectorType::get(element, t->getNumElements()) : element;
}

static Constant* integer(Value* like, i64 v) {
  return llvm::ConstantInt::get(like->getType(), static_cast<u64>(v), true);
}

static Constant* real(Value* like, double v) { return llvm::ConstantFP::get(like->getType(), v); }

static i64 least(DType d) { return is_signed(d) ? static_cast<i64>(~u64{0} << (bits(d) - 1)) : 0; }

// ---------------------------------------------------------------- 16-bit floats

/// Lanes first .. first + n - 1 of v; lanes that v has not are poison.
static Value* lanes(Builder& b, Value* v, int first, int n) {
  llvm::SmallVector<int, 32> mask;
  for (int i = first; i < first + n; ++i) mask.push_back(i < length_of(v) ? i : -1);
  return b.CreateShuffleVector(v, mask);
}

/// f32 to binary16 by vcvtps2ph, which rounds to nearest even, keeps denormals and quiets NaN.
static Value* to_half(Builder& b, Value* v) {
  int n = length_of(v);
  if (n == 1) v = b.CreateInsertElement(llvm::PoisonValue::get(FixedVectorType::get(v->getType(), 8)), v, u64{0});
  auto convert = [&](int first) {
    return b.CreateIntrinsic(llvm::Intrinsic::x86_vcvtps2ph_256, {}, {lanes(b, v, first, 8), b.getInt32(0)});
  };
  Value* out = convert(0);
  if (n == 1) return b.CreateExtractElement(out, u64{0});
  if (n > 8) {
    llvm::SmallVector<int, 32> all;
    for (int i = 0; i < 16; ++i) all.push_back(i);
    out = b.CreateShuffleVector(out, convert(8), all);
  }
  return length_of(out) == n ? out : lanes(b, out, 0, n);
}

static Value* from_half(Builder& b, Value* v) {
  auto& context = b.getContext();
  return b.CreateFPExt(b.CreateBitCast(v, shaped(llvm::Type::getHalfTy(context), v)), shaped(b.getFloatTy(), v));
}

/// f32 to bfloat16 by integer rounding: conversion instructions flush denormals.
static Value* to_bfloat(Builder& b, Value* v) {
  Value* bits = b.CreateBitCast(v, shaped(b.getInt32Ty(), v));
  Value* odd = b.CreateAnd(b.CreateLShr(bits, integer(bits, 16)), integer(bits, 1));
  Value* rounded = b.CreateLShr(b.CreateAdd(bits, b.CreateAdd(odd, integer(bits, 0x7FFF))), integer(bits, 16));
  Value* quiet = b.CreateOr(b.CreateLShr(bits, integer(bits, 16)), integer(bits, 0x40));
  Value* chosen = b.CreateSelect(b.CreateFCmpUNO(v, v), quiet, rounded);
  return b.CreateTrunc(chosen, shaped(b.getInt16Ty(), v));
}

static Value* from_bfloat(Builder& b, Value* v) {
  Value* wide = b.CreateZExt(v, shaped(b.getInt32Ty(), v));
  return b.CreateBitCast(b.CreateShl(wide, integer(wide, 16)), shaped(b.getFloatTy(), v));
}

// ---------------------------------------------------------------- casts

static bool is_half(DType d) { return d == DType::f16 || d == DType::bf16; }

/// Truncates, saturates, NaN is 0.
static Value* float_to_integer(Builder& b, Value* v, DType to) {
  llvm::Type* type = shaped(element_type(b.getContext(), to), v);
  double low = static_cast<double>(least(to)), past = is_signed(to) ? -low : std::ldexp(1.0, bits(to));
  Value* at_least = b.CreateFCmpOGE(v, real(v, low));
  Value* below = b.CreateFCmpOLT(v, real(v, past));
  Value* safe = b.CreateSelect(b.CreateAnd(at_least, below), v, real(v, 0));
  Value* whole = is_signed(to) ? b.CreateFPToSI(safe, type) : b.CreateFPToUI(safe, type);
  Constant* minimum = llvm::ConstantInt::get(type, static_cast<u64>(least(to)), true);
  u64 most = is_signed(to) ? ~static_cast<u64>(least(to)) : ~u64{0} >> (64 - bits(to));
  whole = b.CreateSelect(b.CreateFCmpOGE(v, real(v, past)), llvm::ConstantInt::get(type, most), whole);
  return b.CreateSelect(b.CreateFCmpOLT(v, real(v, low)), minimum, whole);
}

static Value* cast_float(Builder& b, Value* v, DType from, DType to) {
  if (is_half(from)) {
    v = from == DType::f16 ? from_half(b, v) : from_bfloat(b, v);
    return to == DType::f32 ? v : cast_float(b, v, DType::f32, to);
  }
  if (is_half(to)) {
    if (from == DType::f64) v = b.CreateFPTrunc(v, shaped(b.getFloatTy(), v));
    return to == DType::f16 ? to_half(b, v) : to_bfloat(b, v);
  }
  llvm::Type* type = shaped(element_type(b.getContext(), to), v);
  if (to == DType::boolean) return b.CreateFCmpUNE(v, real(v, 0));
  if (is_integer(to)) return float_to_integer(b, v, to);
  return bits(to) > bits(from) ? b.CreateFPExt(v, type) : b.CreateFPTrunc(v, type);
}

static Value* cast_integer(Builder& b, Value* v, DType from, DType to) {
  if (is_half(to)) return cast_float(b, cast_integer(b, v, from, DType::f32), DType::f32, to);
  llvm::Type* type = shaped(element_type(b.getContext(), to), v);
  bool is_signed_source = is_integer(from) && is_signed(from);
  if (is_float(to)) return is_signed_source ? b.CreateSIToFP(v, type) : b.CreateUIToFP(v, type);
  if (to == DType::boolean) return b.CreateICmpNE(v, integer(v, 0));
  return is_signed_source ? b.CreateSExtOrTrunc(v, type) : b.CreateZExtOrTrunc(v, type);
}

static Value* cast(Builder& b, Value* v, DType from, DType to) {
  if (from == to) return v;
  return is_float(from) ? cast_float(b, v, from, to) : cast_integer(b, v, from, to);
}

// ---------------------------------------------------------------- integer division

/// The constant every lane of v is, if it is one.
static std::optional<i64> known(Value* v) {
  auto* c = llvm::dyn_cast<Constant>(v);
  if (!c) return std::nullopt;
  if (c->getType()->isVectorTy()) c = c->getSplatValue();
  auto* i = llvm::dyn_cast_or_null<llvm::ConstantInt>(c);
  if (!i) return std::nullopt;
  return i->getSExtValue();
}

/// Rounded down; division by 0 gives 0 and the least number by -1 itself, which the instruction would trap on.
static Value* floor_divide(Builder& b, Value* x, Value* y, DType d, bool remainder) {
  auto divisor = known(y);
  bool tame = divisor && *divisor != 0 && *divisor != -1;
  Value *zero = tame ? nullptr : b.CreateICmpEQ(y, integer(y, 0)), *minus = nullptr, *safe = y;
  if (!tame) safe = b.CreateSelect(zero, integer(y, 1), y);
  if (!is_signed(d)) {
    Value* r = remainder ? b.CreateURem(x, safe) : b.CreateUDiv(x, safe);
    return tame ? r : b.CreateSelect(zero, integer(y, 0), r);
  }
  if (!tame) {
    minus = b.CreateICmpEQ(y, integer(y, -1));
    safe = b.CreateSelect(minus, integer(y, 1), safe);
  }
  Value *q = b.CreateSDiv(x, safe), *rest = b.CreateSub(x, b.CreateMul(q, safe));
  Value* apart = b.CreateICmpSLT(b.CreateXor(rest, safe), integer(y, 0));
  Value* down = b.CreateAnd(b.CreateICmpNE(rest, integer(y, 0)), apart);
  Value* r = remainder ? b.CreateAdd(rest, b.CreateSelect(down, safe, integer(y, 0)))
                       : b.CreateSub(q, b.CreateSelect(down, integer(y, 1), integer(y, 0)));
  if (tame) return r;
  r = b.CreateSelect(minus, remainder ? integer(y, 0) : b.CreateNeg(x), r);
  return b.CreateSelect(zero, integer(y, 0), r);
}

// ---------------------------------------------------------------- the table

static Value* compare(Builder& b, ScalarOp op, DType d, Value* x, Value* y) {
  using P = llvm::CmpInst::Predicate;
  if (is_float(d)) {
    P p = op == ScalarOp::less         ? P::FCMP_OLT
          : op == ScalarOp::less_equal ? P::FCMP_OLE
          : op == ScalarOp::equal      ? P::FCMP_OEQ
                                       : P::FCMP_UNE;
    return b.CreateFCmp(p, x, y);
  }
  bool sign = is_integer(d) && is_signed(d);
  P p = op == ScalarOp::less         ? (sign ? P::ICMP_SLT : P::ICMP_ULT)
        : op == ScalarOp::less_equal ? (sign ? P::ICMP_SLE : P::ICMP_ULE)
        : op == ScalarOp::equal      ? P::ICMP_EQ
                                     : P::ICMP_NE;
  return b.CreateICmp(p, x, y);
}

static Value* float_op(Builder& b, ScalarOp op, std::span<Value* const> v) {
  switch (op) {
    case ScalarOp::add: return b.CreateFAdd(v[0], v[1]);
    case ScalarOp::sub: return b.CreateFSub(v[0], v[1]);
    case ScalarOp::mul: return b.CreateFMul(v[0], v[1]);
    case ScalarOp::div: return b.CreateFDiv(v[0], v[1]);
    case ScalarOp::fma: return b.CreateIntrinsic(llvm::Intrinsic::fma, {v[0]->getType()}, {v[0], v[1], v[2]});
    case ScalarOp::neg: return b.CreateFNeg(v[0]);
    case ScalarOp::abs: return b.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, v[0]);
    case ScalarOp::sqrt: return b.CreateUnaryIntrinsic(llvm::Intrinsic::sqrt, v[0]);
    case ScalarOp::floor: return b.CreateUnaryIntrinsic(llvm::Intrinsic::floor, v[0]);
    case ScalarOp::round: return b.CreateUnaryIntrinsic(llvm::Intrinsic::roundeven, v[0]);
    case ScalarOp::max: return b.CreateSelect(b.CreateFCmpOGT(v[0], v[1]), v[0], v[1]);
    case ScalarOp::min: return b.CreateSelect(b.CreateFCmpOLT(v[0], v[1]), v[0], v[1]);
    default: return nullptr;
  }
}

static Value* shift_amount(Builder& b, Value* v) {
  return b.CreateAnd(v, integer(v, static_cast<i64>(v->getType()->getScalarSizeInBits()) - 1));
}

static Value* integer_op(Builder& b, ScalarOp op, DType d, std::span<Value* const> v) {
  bool sign = is_integer(d) && is_signed(d);
  switch (op) {
    case ScalarOp::add: return b.CreateAdd(v[0], v[1]);
    case ScalarOp::sub: return b.CreateSub(v[0], v[1]);
    case ScalarOp::mul: return b.CreateMul(v[0], v[1]);
    case ScalarOp::floor_div:
    case ScalarOp::floor_mod: return floor_divide(b, v[0], v[1], d, op == ScalarOp::floor_mod);
    case ScalarOp::neg: return b.CreateNeg(v[0]);
    case ScalarOp::abs: return sign ? b.CreateBinaryIntrinsic(llvm::Intrinsic::abs, v[0], b.getFalse()) : v[0];
    case ScalarOp::max:
      return b.CreateBinaryIntrinsic(sign ? llvm::Intrinsic::smax : llvm::Intrinsic::umax, v[0], v[1]);
    case ScalarOp::min:
      return b.CreateBinaryIntrinsic(sign ? llvm::Intrinsic::smin : llvm::Intrinsic::umin, v[0], v[1]);
    case ScalarOp::logical_and: return b.CreateAnd(v[0], v[1]);
    case ScalarOp::logical_or: return b.CreateOr(v[0], v[1]);
    case ScalarOp::logical_xor: return b.CreateXor(v[0], v[1]);
    case ScalarOp::shift_left: return b.CreateShl(v[0], shift_amount(b, v[1]));
    case ScalarOp::shift_right:
      return sign ? b.CreateAShr(v[0], shift_amount(b, v[1])) : b.CreateLShr(v[0], shift_amount(b, v[1]));
    default: return nullptr;
  }
}

static Value* bitcast(Builder& b, Value* v, DType from, DType to) {
  if (bits(from) != bits(to)) return nullptr;
  if (from == DType::boolean) v = b.CreateZExt(v, shaped(b.getInt8Ty(), v));
  if (to == DType::boolean) return b.CreateICmpNE(v, integer(v, 0));
  return b.CreateBitCast(v, shaped(element_type(b.getContext(), to), v));
}

Value* emit_op(Builder& b, ScalarOp op, DType from, DType to, std::span<Value* const> v) {
  Value* made = nullptr;
  if (op == ScalarOp::select)
    return b.CreateSelect(v[0], v[1], v[2]);
  else if (op == ScalarOp::cast)
    return cast(b, v[0], from, to);
  else if (op == ScalarOp::bitcast)
    made = bitcast(b, v[0], from, to);
  else if (!is_half(from) && loops::info(op).gives == loops::ScalarInfo::Gives::boolean)
    made = compare(b, op, from, v[0], v[1]);
  else if (from == DType::f32 || from == DType::f64)
    made = float_op(b, op, v);
  else if (!is_half(from))
    made = integer_op(b, op, from, v);
  if (!made) internal("scalar op " + std::string(loops::info(op).name) + " does not take " + std::string(name(from)));
  return made;
}

Constant* element_constant(llvm::LLVMContext& context, DType d, double number, i64 whole) {
  llvm::Type* type = element_type(context, d);
  if (d == DType::f32) return llvm::ConstantFP::get(context, llvm::APFloat(static_cast<float>(number)));
  if (d == DType::f64) return llvm::ConstantFP::get(context, llvm::APFloat(number));
  if (is_half(d)) {
    auto f = static_cast<float>(number);
    return llvm::ConstantInt::get(type, d == DType::f16 ? float_to_half(f) : float_to_bfloat(f));
  }
  if (d == DType::boolean) return llvm::ConstantInt::get(type, whole != 0);
  return llvm::ConstantInt::get(type, static_cast<u64>(whole), is_signed(d));
}

}  // namespace tn::cpu
