#!/usr/bin/env bash
# Remake every shipped profile that is fitted to a table here: measurements/remake.sh [FOLDER]
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-emu/profiles/steps}
emu=${EMU:-emu}
$emu calibrate fit measurements/h200/llama3-8b.tp1.csv --unseen measurements/h200/llama3-8b.tp1.unseen.csv -o "$out"
$emu calibrate fit measurements/h200/llama3-8b.tp1.csv --unseen measurements/h200/llama3-8b.tp1.unseen.csv --as-hardware h200-nvlink -o "$out"
$emu calibrate fit measurements/h200/llama2-70b.tp8.csv --unseen measurements/h200/llama2-70b.tp8.unseen.csv -o "$out"
$emu calibrate fit measurements/h200/llama2-70b.tp4.csv -o "$out"
$emu calibrate fit measurements/h200/llama3-70b.tp8.csv -o "$out"
$emu calibrate fit measurements/h200_pair/steps.csv --mixed -o "$out"
for pair in "llama3-8b dgx-a100 1 2 4 8" "llama3-8b dgx-h100 1 2 4 8" "llama3-8b dgx-h200 2 4 8" \
  "llama3-70b dgx-a100 4 8" "llama3-70b dgx-h100 4 8" "llama3-70b dgx-h200 2 4"; do
  read -r model hardware gpus <<<"$pair"
  for count in $gpus; do
    $emu calibrate predict --model-config "$model" --hardware "$hardware" --tensor-parallel "$count" -o "$out"
  done
done
