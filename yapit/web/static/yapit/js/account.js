// The account page: the end of an account. Passwords are changed by a plain form.

import * as api from "./api.js";
import { $, closeByClick } from "./dialogs.js";

const dialog = $("#farewell");

$("#delete-account").addEventListener("click", () => {
  $("#farewell-password").value = "";
  $("#farewell-error").hidden = true;
  dialog.showModal();
});

dialog.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = $("[type=submit]", dialog);
  button.disabled = true;
  try {
    await api.deleteAccount($("#farewell-password").value);
    location.assign("/login/");
  } catch (error) {
    $("#farewell-error").textContent = api.isLoginLost(error) ? "You are no longer logged in. Reload the page." : error.message;
    $("#farewell-error").hidden = false;
    button.disabled = false;
    $("#farewell-password").focus();
  }
});
closeByClick(dialog);
