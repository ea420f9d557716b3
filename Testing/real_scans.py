"""Names of real CT that several tests read; see CONTRIBUTING.md for where it lies."""

SCANNERS = [
    "tcga_ov_abdomen_toshiba",
    "cptac_pda_chest_siemens",
    "cptac_lscc_head_toshiba",
    "tcga_thca_neck_philips",
    "bellona_chest_abd_siemens",
]
