// Account page: the deletion dialog. The password is changed by a plain form.

import * as api from "./api.js";
import { $, closeByClick } from "./dialogs.js";

const dialog = $("#delete-dialog");

$("#delete-account").addEventListener("click", () => {
  $("#delete-password").value = "";
  $("#delete-error").hidden = true;
  dialog.showModal();
});

dialog.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = $("[type=submit]", dialog);
  button.disabled = true;
  try {
    await api.deleteAccount($("#delete-password").value);
    location.assign("/login/");
  } catch (error) {
    $("#delete-error").textContent = api.isLoggedOut(error) ? "You are no longer logged in. Reload the page." : error.message;
    $("#delete-error").hidden = false;
    button.disabled = false;
    $("#delete-password").focus();
  }
});
closeByClick(dialog);
