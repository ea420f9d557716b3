"""What names and descriptions say of dose, patient and kernel, and what they do not."""

from __future__ import annotations

import pytest

from CTInvarianceLib.sources.dose_words import dose_in_name, dose_of
from CTInvarianceLib.sources.naming import (
    is_nobody,
    is_only_dose,
    kernel_beside_dose,
    says_little,
    without_dose,
)


@pytest.mark.parametrize(
    ("description", "dose"),
    [
        ("Low Dose Images", "low"),
        ("Full dose images", "full"),
        ("FULL_DOSE", "full"),
        ("Full dose 2", "full"),
        ("ThoraxLowDose", "low"),
        ("quarter dose", "low"),
        ("quarter_3mm_sharp_sorted", "low"),
        ("full 3mm", "full"),
        ("L067_QD_3_SHARP", "low"),
        ("Thorax LD", "low"),
        ("LDCT screening", "low"),
        ("NDCT", "full"),
        ("normal dose", "full"),
        ("25% dose", "low"),
        ("Dose 10 %", "low"),
        ("100 % dose", "full"),
        ("Full Body", ""),
        ("Full FOV 1.0", ""),
        ("LOW NECK", ""),
        ("Low kV", ""),
        ("STANDARD", ""),
        ("HD LUNG", ""),
        ("flow dose", ""),
        ("full scan", "full"),
        ("dose 0.25", "low"),
        ("dose 2", ""),
        ("low/full", ""),
        ("low and full dose", ""),
        ("CHEST 3.0 B40f", ""),
        ("", ""),
    ],
)
def test_descriptions(description, dose):
    assert dose_of(description) == dose


def test_the_first_description_that_tells_counts():
    assert dose_of("Axial", "Low Dose", "Full Dose") == "low"


@pytest.mark.parametrize(
    ("name", "dose", "who"),
    [
        ("L067_FD_1_1", "full", "L067"),
        ("L067_QD_1_1", "low", "L067"),
        ("P001_FD_3_SHARP", "full", "P001"),
        ("L096_quarter", "low", "L096"),
        ("L067_3mm_sharp_full", "full", "L067"),
        ("A_ndct", "full", "A"),
        ("A_ldct", "low", "A"),
        ("B_full_dose", "full", "B"),
        ("lowdose_B", "low", "B"),
        ("p1.low", "low", "p1"),
        ("Meyer-LD", "low", "Meyer"),
        ("QD_L067_1_1", "low", "L067_1_1"),
        ("FD_001", "full", "001"),
        ("1_FD_L067", "full", "1_L067"),
        ("1mm_QD_L067", "low", "L067"),
        ("12_FD_1_1", "full", "12"),
        ("Patient_1_FD", "full", "Patient_1"),
        ("2024.01.15 Meyer low", "low", "2024.01.15 Meyer"),
        ("p1_low_scan", "low", "p1"),
        ("5_dose", "low", ""),
        ("100_dose", "full", ""),
        ("1.25 dose", "", "1.25 dose"),
        ("p1_dose0.25", "low", "p1"),
        ("p1_dose_100", "full", "p1"),
        ("low", "low", ""),
        ("quarter_1mm", "low", ""),
        ("2024.01.15 Meyer", "", "2024.01.15 Meyer"),
        ("c.v1", "", "c.v1"),
        ("Full_body_01", "", "Full_body_01"),
        ("follow-up", "", "follow-up"),
        ("feedback", "", "feedback"),
    ],
)
def test_names_of_files_and_folders(name, dose, who):
    assert (dose_in_name(name), without_dose(name)) == (dose, who)


@pytest.mark.parametrize(
    ("name", "dose"),
    [
        ("L067_QD_1_1", "low"),
        ("L067 FD", "full"),
        ("A_ldct", "low"),
        ("P1 low dose", "low"),
        ("L067^QD", "low"),
        ("L067QD", "low"),
        ("L067FD1", "full"),
        ("Low^Peter", ""),
        ("Low Peter", ""),
        ("Tran^QD", ""),
        ("Full^Anna^^Dr.", ""),
        ("LD-123", ""),
        ("ND_102", ""),
        ("QD", ""),
    ],
)
def test_names_of_people_are_no_doses(name, dose):
    assert dose_in_name(name, person=True) == dose
    assert dose or without_dose(name, person=True) == name


def test_people_who_are_nobody():
    nobody = [
        "",
        "Anonymous",
        "ANON",
        "anonymous^patient",
        "De-identified",
        "000000",
        "Unknown",
        "xxxx",
        "No Name",
    ]
    somebody = ["P1", "Anonymous_2", "Anon001", "patient", "Meyer^Hans", "0", "C3N-00249", "Nanon"]
    assert [name for name in [*nobody, *somebody] if is_nobody(name)] == nobody


def test_folders_that_speak_of_nothing_but_the_dose():
    names = [
        "quarter_1mm",
        "full_3mm_sharp_sorted",
        "1.000000-Low Dose Images-00959",
        "lowdose_project",
        "L067_QD",
        "data",
    ]
    assert [name for name in names if is_only_dose(name)] == names[:3]
    assert [
        name for name in ["full_1mm", "CT", "images", "P001", "lowdose_project"] if says_little(name)
    ] == [
        "full_1mm",
        "CT",
        "images",
    ]


def test_kernels():
    assert kernel_beside_dose("L067_FD_1_SHARP") == "sharp"
    assert kernel_beside_dose("full 3mm D45f") == "d45f"
    assert kernel_beside_dose("standard dose, lung") == "lung"
    assert kernel_beside_dose("P12_C34_full") == ""
    assert kernel_beside_dose("Lung") == ""
