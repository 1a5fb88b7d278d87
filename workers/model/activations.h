// SPDX-License-Identifier: Apache-2.0
// Activation functions of the MLPs, the logit soft cap and softmax, on the graph. Their bits do not
// depend on the number of threads (fixed_blocks.h).
#pragma once

#include <ATen/ATen.h>

#include <string>

namespace anamnesis::model {

enum class Activation { kSilu, kGelu, kGeluTanh, kRelu };

// HF's hidden_act; gelu_new and gelu_pytorch_tanh are one function (Hendrycks and Gimpel 2016).
Activation ActivationOf(const std::string& hidden_act);

// act(x), like x.
at::Tensor Activate(const at::Tensor& x, Activation activation);

// act(gate) · up (Shazeer 2020); both of one shape.
at::Tensor GatedActivate(const at::Tensor& gate_TF, const at::Tensor& up_TF, Activation activation);

// cap · tanh(x / cap) (Bello et al. 2016; Gemma 2), and its backward pass from the capped values.
at::Tensor SoftCap(const at::Tensor& x, double cap);
at::Tensor SoftCapForward(const at::Tensor& x, double cap);
at::Tensor SoftCapBackward(const at::Tensor& gradient, const at::Tensor& capped, double cap);

// softmax over the last dimension. ATen's backward pass of it has other last bits for another
// number of threads; this one has not: p · (dy − Σ dy · p).
at::Tensor RowSoftmax(const at::Tensor& x);

}  // namespace anamnesis::model
