# SPDX-License-Identifier: Apache-2.0
# Imported targets over the unpacked Torch wheel in .deps/site (tools/bootstrap puts it there):
#   anam::torch         LibTorch on the CPU with c10d; carries -fopenmp, without which at::parallel_for is serial
#   anam::gloo_headers  headers of Debian's libgloo-dev for ProcessGroupGloo.hpp; the code is in the wheel's libtorch_cpu
#   anam::torch_cuda    anam::torch plus libtorch_cuda and NCCL; only after tools/bootstrap --gpu
# find_package(Torch) is not used: it wants a CUDA toolkit even for a CPU program.
# Sets ANAMNESIS_WITH_TORCH (OFF without the wheel) and ANAMNESIS_WITH_TORCH_CUDA.

option(ANAMNESIS_WITH_TORCH "Build what needs LibTorch" ON)
set(ANAMNESIS_WITH_TORCH_CUDA OFF)
set(ANAMNESIS_SITE "${CMAKE_SOURCE_DIR}/.deps/site" CACHE PATH "Where the pinned wheels are unpacked")

set(_torch "${ANAMNESIS_SITE}/torch")
set(_cu13 "${ANAMNESIS_SITE}/nvidia/cu13")
set(_nccl "${ANAMNESIS_SITE}/nvidia/nccl")

if(ANAMNESIS_WITH_TORCH AND NOT EXISTS "${_torch}/lib/libtorch_cpu.so")
  message(STATUS "No Torch in ${ANAMNESIS_SITE}: building without it (tools/bootstrap fetches it)")
  set(ANAMNESIS_WITH_TORCH OFF)
endif()

if(ANAMNESIS_WITH_TORCH)
  foreach(lib torch_cpu c10)
    add_library(anam_import_${lib} SHARED IMPORTED)
    set_target_properties(anam_import_${lib} PROPERTIES IMPORTED_LOCATION "${_torch}/lib/lib${lib}.so")
  endforeach()

  add_library(anam_torch INTERFACE)
  add_library(anam::torch ALIAS anam_torch)
  target_include_directories(anam_torch SYSTEM INTERFACE
    "${_torch}/include" "${_torch}/include/torch/csrc/api/include")
  target_compile_definitions(anam_torch INTERFACE USE_C10D_GLOO USE_DISTRIBUTED)
  target_compile_options(anam_torch INTERFACE $<$<COMPILE_LANGUAGE:C,CXX>:-fopenmp>)
  target_compile_features(anam_torch INTERFACE cxx_std_20)
  target_link_libraries(anam_torch INTERFACE anam_import_torch_cpu anam_import_c10)
  # torch/lib comes first, so that the wheel's libgomp is the one OpenMP run-time of the process.
  target_link_options(anam_torch INTERFACE -fopenmp -Wl,--allow-shlib-undefined
    "-Wl,-rpath,${_torch}/lib:${_cu13}/lib")

  find_path(ANAMNESIS_GLOO_INCLUDE gloo/algorithm.h)
  if(NOT ANAMNESIS_GLOO_INCLUDE)
    message(FATAL_ERROR "gloo/algorithm.h not found: install libgloo-dev (tools/bootstrap does)")
  endif()
  add_library(anam_gloo_headers INTERFACE)
  add_library(anam::gloo_headers ALIAS anam_gloo_headers)
  target_include_directories(anam_gloo_headers SYSTEM INTERFACE "${ANAMNESIS_GLOO_INCLUDE}")

  if(EXISTS "${_nccl}/include/nccl.h")
    set(ANAMNESIS_WITH_TORCH_CUDA ON)
    foreach(lib torch_cuda c10_cuda)
      add_library(anam_import_${lib} SHARED IMPORTED)
      set_target_properties(anam_import_${lib} PROPERTIES IMPORTED_LOCATION "${_torch}/lib/lib${lib}.so")
    endforeach()
    add_library(anam_import_nccl SHARED IMPORTED)
    set_target_properties(anam_import_nccl PROPERTIES IMPORTED_LOCATION "${_nccl}/lib/libnccl.so.2")

    # ATen/cuda/CUDAContext.h, which ProcessGroupNCCL.hpp includes, wants headers of the cuBLAS, cuSPARSE and cuSOLVER
    # wheels for a few opaque types. Where those wheels are absent, these stand in: HEADER TYPE STATUS.
    set(_opaque "${CMAKE_BINARY_DIR}/cuda_opaque")
    foreach(entry "cusparse cusparse cusparseStatus_t" "cublas_v2 cublas cublasStatus_t" "cublasLt cublasLt -"
                  "cusolver_common - cusolverStatus_t" "cusolverDn cusolverDn -")
      string(REPLACE " " ";" entry "${entry}")
      list(GET entry 0 header)
      list(GET entry 1 handle)
      list(GET entry 2 status)
      if(EXISTS "${_cu13}/include/${header}.h")
        continue()
      endif()
      set(content "#pragma once\n")
      if(NOT handle STREQUAL "-")
        string(APPEND content "typedef struct ${handle}Context* ${handle}Handle_t;\n")
      endif()
      if(NOT status STREQUAL "-")
        string(APPEND content "enum ${status} : int {};\n")
      endif()
      file(CONFIGURE OUTPUT "${_opaque}/${header}.h" CONTENT "${content}")
    endforeach()

    add_library(anam_torch_cuda INTERFACE)
    add_library(anam::torch_cuda ALIAS anam_torch_cuda)
    target_include_directories(anam_torch_cuda SYSTEM INTERFACE "${_nccl}/include" "${_cu13}/include" "${_opaque}")
    target_compile_definitions(anam_torch_cuda INTERFACE USE_C10D_NCCL)
    target_link_libraries(anam_torch_cuda INTERFACE
      anam_torch anam_import_torch_cuda anam_import_c10_cuda anam_import_nccl)
    # libtorch_cuda registers its kernels when it is loaded: it stays, whether a symbol of it is used or not.
    target_link_options(anam_torch_cuda INTERFACE -Wl,--no-as-needed "-Wl,-rpath,${_nccl}/lib")
  endif()
endif()
