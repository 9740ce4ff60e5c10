#!/usr/bin/env bash
# AdaFuse's published settings, from a folder of videos to a judged agent: docs/guides/something-something.md explains each step.
#
#   bash experiments/examples/something.sh DATA RUNS [tsn50|tsm50|tsm50-last|bn-inception]
#
# DATA holds Something-Something V1 or V2, Jester or Mini-Kinetics; RUNS takes what is made. Call it again after an
# interruption: what is finished stays, what was interrupted goes on. In the environment:
#   PYTHON   the interpreter                            (python)
#   CLIPS    seen in pretraining, and again in training (4222825: 25 passes over Something-Something V2)
#   BATCH    clips in an update of pretraining          (64)
#   WORKERS  processes that read videos                 (8)
#   COST     --cost-weight                              (0.51: AdaFuse's 0.125 a GFLOP of a frame)
#   WEIGHTS  to start from                              (imagenet; of bn-inception a file)
#   CHECK    no: do not look through the data first
set -euo pipefail

fail() { echo "Error: $*" >&2; exit 2; }

[ $# -ge 2 ] && [ $# -le 3 ] || fail "expected something.sh DATA RUNS [MODEL], got $# arguments"
data=$1 runs=$2 model=${3:-tsm50} python=${PYTHON:-python} clips=${CLIPS:-4222825} weights=${WEIGHTS:-imagenet}
[ -d "$data" ] || fail "expected a folder of videos, got $data: check the path"
[[ $clips =~ ^[1-9][0-9]*$ ]] || fail "expected a number of clips in CLIPS, got $clips"
command -v "$python" >/dev/null || fail "expected a Python interpreter, got $python: activate .venv, or name it with PYTHON"

gate="--gate-norm batch --hidden-quota 196608 --shared-gates" sites=all temporal=tsm-adafuse rate=0.02 architecture=resnet50
case $model in
  tsm50) ;;
  tsn50) temporal=tsn rate=0.01 ;;
  tsm50-last) sites=last_stage gate="--gate-norm batch --hidden 1024" ;;
  bn-inception)
    architecture=bn_inception temporal=tsn rate=0.01 gate="--gate-norm batch --hidden 128"
    [ -f "$weights" ] || fail "expected a file of BN-Inception's ImageNet weights in WEIGHTS, got $weights: download one" ;;
  *) fail "expected a model among tsn50, tsm50, tsm50-last, bn-inception, got $model" ;;
esac

mkdir -p "$runs"
backbone=$runs/$model-backbone agent=$runs/$model-agent
videos=(--data.root "$data" --data.size 224 --data.margin 32 --data.crop multi_scale --data.flip swap
  --data.short repeat --data.cache-gb 0 --data.workers "${WORKERS:-8}")

if [ ! -e "$runs/check.json" ] && [ "${CHECK:-yes}" != no ]; then
  "$python" -m experiments check-data "$data" --json > "$runs/check.json.part" ||
    fail "expected whole data in $data, $runs/check.json.part says what is wrong: mend it, or go on with CHECK=no"
  mv "$runs/check.json.part" "$runs/check.json"
fi
"$python" -m experiments flips "$data"

if [ ! -e "$backbone/backbone.pt" ] || [ -e "$backbone/pretraining.pt" ]; then
  "$python" -m experiments pretrain --architecture "$architecture" --weights "$weights" --sites "$sites" \
    --temporal "$temporal" --clips "$clips" --batch-size "${BATCH:-64}" --learning-rate "$rate" "${videos[@]}" \
    --run "$backbone" $([ ! -e "$backbone/config.json" ] || echo --resume)
fi

if [ -e "$agent/config.json" ] && [ ! -e "$agent/result.json" ]; then
  "$python" -m experiments train --resume "$agent"
elif [ ! -e "$agent/result.json" ]; then
  "$python" -m experiments train --method gumbel --regime joint --backbone "$backbone/backbone.pt" --rollouts "$clips" \
    --cost-weight "${COST:-0.51}" $gate --evaluate-every "$((clips > 25 ? clips / 25 : 1))" "${videos[@]}" --run "$agent"
fi

[ -e "$agent/evaluation.json" ] || "$python" -m experiments evaluate "$agent" --split val --accounting adafuse
