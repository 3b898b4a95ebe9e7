#!/bin/sh
# sh quick.sh CONVLSTM DIR: trains a narrow network on the built-in digits, measures it on digits and
# paths it has never seen, and draws what it predicts. Offline; a minute or two on two cores.
set -e
"$1" train --hidden 16 --clips 4000 --batch 4 --steps 600 --lr 0.004 --val 0.01 --reestimate-bn 20 \
    --out "$2"
"$1" eval --split test --clips 100 --weights "$2/best.safetensors"
"$1" predict --split test --weights "$2/best.safetensors" --gif "$2/prediction.gif" \
    --png "$2/prediction.png"
