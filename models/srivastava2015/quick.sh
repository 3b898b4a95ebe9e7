#!/bin/sh
# sh quick.sh SRIVASTAVA2015 DIR [STEPS]: trains all six models on the built-in digits, prints them
# as a table and draws what the last one reconstructs and predicts. Offline; a few minutes.
set -e
for model in autoencoder future composite; do
    for conditional in "" --conditional; do
        "$1" train --model $model $conditional --batch 8 --lr 0.003 --steps "${3:-200}" \
            --out "$2/$model$conditional"
    done
done
"$1" eval "$2/autoencoder" "$2/autoencoder--conditional" "$2/future" "$2/future--conditional" \
    "$2/composite" "$2/composite--conditional"
"$1" predict "$2/composite--conditional" --gif "$2/prediction.gif" --png "$2/prediction.png"
