// SPDX-License-Identifier: Apache-2.0
// The one source file of the targets that build precompiled headers (cmake/Precompiled.cmake).
int main() { return 0; }
