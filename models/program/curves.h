/* Curves of runs as one SVG: loss, MAE, PSNR and SSIM over steps, for training and validation.
 *
 * Read from metrics.jsonl: validation is val_loss, val_mae, val_psnr, val_ssim of a row; training
 * is train_loss .. train_ssim where rows have them, else means over stretches of the steps' loss,
 * mae and ssim (PSNR from the loss of steps that have mae too: a mean squared error). */
#ifndef MODELS_PROGRAM_CURVES_H
#define MODELS_PROGRAM_CURVES_H

#include "nn/nn.h"

/* Draws the runs in the folders dir[0 .. n) into `path`, atomically. Same rows, same bytes.
 * Errors: those of metrics_read; WF_FORMAT if a run has no row yet; WF_OUTPUT. */
wf_status curves_draw(char *const *dir, int n, const char *path);

/* Makes DIR/metrics.csv and DIR/curves.svg anew: to be called after every epoch. */
wf_status curves_update(const char *dir);

#endif
