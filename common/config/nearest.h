// SPDX-License-Identifier: Apache-2.0
// The word that a mistyped one was probably meant to be.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace anamnesis::config {

// Optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbours,
// each 1. O(|a| |b|) time; both are cut to 128 bytes.
int EditDistance(std::string_view a, std::string_view b);

// The candidate with the smallest distance if that is at most a third of the word's length (at
// least 2 for words of 4 letters and more); "" when none is near. The first wins a tie.
std::string Nearest(std::string_view word, const std::vector<std::string>& candidates);

// The known key that an unknown dotted path was probably meant to be: a key of that last name in
// any section, else a near sibling, else a sibling that holds the word, else any near path; "" when
// none is near.
std::string NearestKey(std::string_view path);

}  // namespace anamnesis::config
