"""All checks, in the order of the report."""

from verl_coder.doctor import (
    data,
    grader,
    machine,
    model,
    places,
    recipe,
    sandbox,
    services,
    stages,
    sync,
    teacher,
)
from verl_coder.doctor.check import DoctorCheck

CHECKS: tuple[DoctorCheck, ...] = (
    *machine.CHECKS,
    # The first to ask for the recipe says what is wrong with it; the others are skipped then.
    recipe.COMPOSES,
    *machine.AFTER_THE_RECIPE,
    *places.CHECKS,
    *recipe.CHECKS,
    *data.CHECKS,
    *sandbox.CHECKS,
    *grader.CHECKS,
    *model.CHECKS,
    *stages.CHECKS,
    *teacher.CHECKS,
    *services.CHECKS,
    *sync.CHECKS,
)
