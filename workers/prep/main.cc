// SPDX-License-Identifier: Apache-2.0
// anamnesis-prep: raw data to shards, their checks, and narratives as text.
#include "workers/prep/verbs.h"

int main(int argc, char** argv) { return anamnesis::prep::RunVerb(argc, argv); }
