"""SparseInst + MBCE-Dice-Lovasz mask loss, which takes the place of the pixel loss and of the Dice loss."""

_base_ = './sparseinst_r50_giam.py'

model = dict(
    mask_head=dict(
        # SparseInst's weights for the parts it has; Lovasz is a tenth of Dice, as in Eq. 18
        loss_mask=dict(_delete_=True, type='MBCEDiceLovaszLoss', bce_weight=5.0, dice_weight=2.0, lovasz_weight=0.2),
        loss_dice=None,
    )
)
