"""gmaug: when do generated images help a classifier trained on an imbalanced image set?

A companion to Guo, Benitez-Quiroz, Feng and Martinez, *Structural Similarity: When to Use
Deep Generative Models on Imbalanced Image Dataset Augmentation* (arXiv 2303.04854).

Rooms, each of which imports only from those above it:

====================  =====================================================================
``hierarchy``         sub-classes grouped in super-classes (section 3.2)
``datasets``          image sets: the garden, any folder, the paper's four (section 4.1)
``ssim``              structural similarity of image pairs (section 3.1, Eq. 1)
``similarity``        SSIM-mergeCls and SSIM-supSubCls (section 3.3, Eq. 2 and 3)
``generators``        the conditional image models (section 3.5)
``classifiers``       ResNet18 and the class-balanced loss (section 3.5, Table 4)
``augcls``            GM-augCls: generate, select, retrain, repeat (section 3.4, Fig. 5)
``study``             the gardens that are studied, their recorded generators
``experiment``        one cell = data set x arm x seed; arms compared (section 4)
``law``               the decay law: fits, audit, uncertainty, rivals (section 4.3, Eq. 4)
``advice``            what the evidence says about a folder of images
``plots``             the figures
``notebook``          what a notebook needs; ``reproduce`` runs them all
====================  =====================================================================

Beside them: ``published`` (the paper's tables as printed), ``claims`` (their verdicts), ``records``
and ``recorded`` (runs made beforehand), ``stages``, ``sources`` and ``provenance`` (what depends on what).
"""

__version__ = "0.1.0"
